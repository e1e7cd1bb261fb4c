/** Routes that look into a store, and changes that are refused where it has become another. */
import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { groupsOf, nearestOf } from "../../src/server/service/similar.ts";
import { openStore } from "../../src/store/store.ts";
import { TinyRuns } from "../support/runs.ts";
import { type Ask, eventsOf, type Served, served, until, writeStores } from "../support/servers.ts";
import { texts, writeTinyExperiment } from "../support/tinyStreams.ts";
import { untilEnd } from "../support/untilEnd.ts";

let root: string;
let one: Served;
let ask: Ask;

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb", "cc"], empty: [] });
  one = untilEnd(
    await served(
      { intents: `${root}/intents`, empty: `${root}/empty` },
      { tokens: { change: "changer" }, keepTexts: { days: 1 } },
    ),
  );
  ({ ask } = one);
});

const token = { Authorization: "Bearer changer" };
const change = (path: string, body: object) => ask("POST", `/stores/intents/${path}`, body, token);

describe("looking into a store", () => {
  test("tells its classes with what is kept of them, and how often they were named", async () => {
    await ask("POST", "/stores/intents/predict", { texts: [texts(["aa"])[0]?.text] });
    const { status, body } = await ask("GET", "/stores/intents/classes");
    expect(status).toBe(200);
    expect(body).toMatchObject({ version: 2, tasks: [{ name: "letters", kind: "statistics", rows: 36 }] });
    expect(body.classes.map(({ label, rows }: { label: string; rows: number }) => [label, rows])).toEqual([
      ["aa", 12],
      ["bb", 12],
      ["cc", 12],
    ]);
    const named = body.classes.filter(({ answers }: { answers: number }) => answers > 0);
    expect(named).toHaveLength(1);
    expect(named[0]).toMatchObject({ answers: 1, lastAnswered: expect.any(String) });
  });

  test("tells how well classes are told apart, as the store itself says it", async () => {
    const { body } = await ask("GET", "/stores/intents/quality");
    await using store = await openStore(`${root}/intents`, { background: false });
    const found = await store.check();
    const right = found?.check.rows.filter(({ label, answer }) => label === answer).length;
    expect(body).toMatchObject({ version: 2, quality: { judged: 36, right, tooFew: [] } });
    expect(
      body.quality.calibration.reduce((sum: number, bin: { judged: number }) => sum + bin.judged, 0),
    ).toBe(36);
    expect((await ask("GET", "/stores/empty/quality")).body).toEqual({ version: 1 });
    expect((await ask("GET", "/stores/intents/quality?version=99")).status).toBe(409);
  });

  test("a preview is what the change does, and changes nothing", async () => {
    const corrections = texts(["dd"], "test", 6);
    expect((await ask("POST", "/stores/intents/preview", { corrections })).status).toBe(401);
    const { body: preview } = await change("preview", { corrections });
    expect((await ask("GET", "/stores/intents/status")).body.version).toBe(2);
    expect(preview.after.classes.map(({ label }: { label: string }) => label)).toContain("dd");
    const { body: job } = await change("corrections", { corrections });
    expect(job).toMatchObject({ state: "done", result: { version: 3 } });
    const { body: now } = await ask("GET", "/stores/intents/quality?version=3&against=2");
    expect(now.quality).toEqual(preview.after);
    expect(now.compared).toEqual(preview.compared);
    expect(now.compared.judged).toBe(36);
    const { body: versions } = await ask("GET", "/stores/intents/versions");
    expect(versions.versions[0].change).toBe("learned class dd from 6 examples");
  });

  test("tells what differs between versions", async () => {
    const { body } = await ask("GET", "/stores/intents/differences?from=2&to=3");
    expect(body).toEqual({ classes: [{ label: "dd", before: 0, after: 6 }] });
    expect((await ask("GET", "/stores/intents/differences?from=3&to=2")).body).toEqual({
      classes: [{ label: "dd", before: 6, after: 0 }],
    });
  });

  test("refuses a change of a store that has become another since it was looked at", async () => {
    const late = await change("rollback", { to: 2, ifVersion: 2 });
    expect(late).toMatchObject({ status: 409, body: { code: "CHANGED_MEANWHILE" } });
    const forgotten = await change("forget", { class: "dd", ifVersion: 2 });
    expect(forgotten).toMatchObject({ status: 409, body: { code: "CHANGED_MEANWHILE" } });
    expect((await change("rollback", { to: 2, ifVersion: 3 })).body).toMatchObject({
      result: { version: 4 },
    });
  });

  test("tells by events when it has become another", async () => {
    const response = await one.server.fetch(new Request("http://localhost/stores/intents/events"));
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    const read = async (): Promise<void> => {
      const next = await reader?.read();
      if (next === undefined || next.done) return;
      text += decoder.decode(next.value, { stream: true });
      await read();
    };
    const reading = read();
    await until("the first event", () => eventsOf(text).length > 0);
    await change("corrections", { corrections: texts(["ee"], "test", 3) });
    await until("the event of the change", () => eventsOf(text).some(({ data }) => data.version === 5));
    const versions = eventsOf(text).map(({ data }) => data.version);
    expect(versions[0]).toBe(4);
    expect(eventsOf(text).some(({ data }) => data.changesUnderWay === 1)).toBe(true);
    await reader?.cancel();
    await reading;
  });
});

describe("kept texts", () => {
  test("that were taught are found again by likeness, and go with the class for good", async () => {
    const [taught] = texts(["ee"], "test", 3);
    const near = await change("kept/nearest", { text: taught?.text ?? "" });
    expect(near.body.texts[0]).toMatchObject({ text: taught?.text, label: "ee" });
    expect(near.body.texts[0].similarity).toBeCloseTo(1, 4);
    expect((await ask("GET", "/stores/intents/kept/groups")).status).toBe(401);
    await change("forget", { class: "ee", purge: true });
    const { body } = await ask("GET", "/stores/intents/kept", undefined, token);
    expect(body.texts.filter(({ label }: { label: string }) => label === "ee")).toEqual([]);
  });

  test("are grouped where they are alike", () => {
    const at = (item: string, ...vector: readonly number[]) => ({ item, vector: Float32Array.from(vector) });
    const groups = groupsOf([at("a", 1, 0), at("x", 0, 1), at("b", 0.8, 0.6), at("c", 0.96, 0.28)], 0.5);
    expect(groups.map((own) => [...own].toSorted())).toEqual([["a", "b", "c"], ["x"]]);
    const learned = [at("p", 0, 1), at("q", 1, 0)].map(({ item, vector }) => ({
      text: item,
      label: "l",
      vector,
    }));
    const [near] = nearestOf(Float32Array.from([0.6, 0.8]), learned, 1);
    expect(near?.text).toBe("p");
    expect(near?.similarity).toBeCloseTo(0.8, 6);
  });
});

describe("runs", () => {
  test("are listed and told, and none is where none is listed", async () => {
    expect((await ask("GET", "/runs")).body).toEqual({ runs: [] });
    expect((await ask("GET", "/runs/any")).body.code).toBe("NO_RUNS");
    const tiny = new TinyRuns();
    await tiny.furnish(writeTinyExperiment);
    await tiny.run("deep/one", { "training.epochs": 1 });
    await mkdir(tiny.at("torn"));
    await writeFile(tiny.at("torn", "events.jsonl"), "{");
    await using listing = await served({}, { runs: tiny.root });
    const { body } = await listing.ask("GET", "/runs");
    expect(body.runs).toMatchObject([{ id: "deep/one", state: "finished", tasks: 3, tasksDone: 3 }]);
    const path = `/runs/${encodeURIComponent("deep/one")}`;
    const run = (await listing.ask("GET", path)).body;
    expect(run.matrix).toHaveLength(3);
    expect(run.accuracy).toBe(body.runs[0].accuracy);
    expect(run.log.at(-1).message).toBe("Finished");
    const told = await listing.ask("GET", `${path}/events`);
    expect(eventsOf(told.text)).toMatchObject([{ event: "view", data: { id: "deep/one" } }]);
    for (const wrong of ["torn", "../deep", "deep/one/../one"])
      expect((await listing.ask("GET", `/runs/${encodeURIComponent(wrong)}`)).body.code).toBe("NO_SUCH_RUN");
  });
});
