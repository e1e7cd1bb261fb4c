/** Our own routes: what a store answers and learns over HTTP is what it does by itself. */
import { cp } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { openStore } from "../../src/store/store.ts";
import { type Ask, eventsOf, type Served, served, until, writeStores } from "../support/servers.ts";
import { questions } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";
import { untilEnd } from "../support/untilEnd.ts";

let root: string;
let one: Served;
let ask: Ask;

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb", "cc"], others: ["dd"] });
  await cp(`${root}/intents`, `${root}/before`, { recursive: true });
  one = untilEnd(await served({ intents: `${root}/intents`, others: `${root}/others` }));
  ({ ask } = one);
});

async function answersOf(texts: readonly string[], store = "intents") {
  return (await ask("POST", `/stores/${store}/predict`, { texts })).body.predictions;
}

const withoutVersion = (answers: readonly object[]) => answers.map((each) => ({ ...each, version: 0 }));

describe("asking", () => {
  test("gives what the store gives, whatever is asked of it", async () => {
    await using store = await openStore(`${root}/before`, { background: false });
    for (const options of [{}, { top: 1 }, { task: "letters" }, { coverage: 0.8 }]) {
      const { status, body } = await ask("POST", "/stores/intents/predict", { texts: questions, ...options });
      expect(status).toBe(200);
      expect(body.predictions).toEqual(JSON.parse(JSON.stringify(await store.predict(questions, options))));
    }
  });

  test("many requests at once share batches, and each gets its own answers", async () => {
    const alone = await Promise.all(questions.map((text) => answersOf([text])));
    const together = await answersOf(questions);
    expect(alone.flat().map(({ text, label }) => ({ text, label }))).toEqual(
      together.map(({ text, label }: { text: string; label: string }) => ({ text, label })),
    );
    const { text } = await ask("GET", "/metrics");
    const sizes = /accrete_batch_texts_sum (\d+)[\s\S]*accrete_batch_texts_count (\d+)/.exec(text);
    expect(Number(sizes?.[1])).toBeGreaterThan(1.5 * Number(sizes?.[2]));
    expect(text).toMatch(/accrete_texts_total\{store="intents",task="letters"\} \d+/);
    expect(text).toMatch(/accrete_store_router\{store="intents",router="immediate"\} 1/);
  });

  test.each([
    ["an unknown store", "/stores/intent/predict", {}, 404, /did you mean "intents"/],
    ["an unknown task", "/stores/intents/predict", { task: "letter" }, 404, /did you mean "letters"/],
    ["exact answers of statistics", "/stores/intents/predict", { exact: true }, 409, /adapter/],
    ["entities of a store of labels", "/stores/intents/tag", {}, 409, /tags no words/],
  ])("%s is refused", async (_, path, options, status, message) => {
    const answered = await ask("POST", path, { texts: ["a"], ...options });
    expect(answered.status).toBe(status);
    expect(answered.body.error).toMatch(message);
    expect(answered.body.request_id).toBe(answered.headers.get("x-request-id"));
  });

  test("tells what it serves, and how it is", async () => {
    expect((await ask("GET", "/health/live")).body).toEqual({ status: "ok" });
    expect((await ask("GET", "/health/ready")).body).toEqual({ status: "ok" });
    expect((await ask("GET", "/health")).body).toEqual({ status: "ok" });
    const stranger = await ask("GET", "/v1/models", undefined, { Host: "evil.example" });
    expect(stranger).toMatchObject({ status: 403, body: { error: { code: "FORBIDDEN" } } });
    expect((await ask("GET", "/info")).body).toMatchObject({
      name: "accrete",
      stores: [{ name: "intents", backbone: "model" }, { name: "others" }],
      max_client_batch_size: 256,
    });
    const { body } = await ask("GET", "/stores/others/status");
    expect(body).toMatchObject({ store: "others", level: "sentence", classes: ["dd"], version: 2 });
    const { text } = await ask("GET", "/docs");
    expect(text).toContain("/stores/{name}/predict");
    expect(text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });
});

describe("teaching", () => {
  test("a class is known to the next request; forgetting, rollback, corrections and merging are versions", async () => {
    const examples = texts(["ee"]).map(({ text }) => text);
    const learned = await ask("POST", "/stores/intents/learn", { class: "ee", texts: examples });
    expect(learned).toMatchObject({ status: 200, body: { state: "done", result: { version: 3 } } });
    expect((await answersOf(["e test number 1 e"]))[0]).toMatchObject({ label: "ee", version: 3 });

    const forgotten = await ask("POST", "/stores/intents/forget", { class: "ee" });
    expect(forgotten.body.result).toMatchObject({ version: 4, classes: ["ee"] });
    expect((await answersOf(["e test number 1 e"]))[0].label).not.toBe("ee");

    const back = await ask("POST", "/stores/intents/rollback", {});
    expect(back.body.result).toEqual({ version: 5 });
    expect((await answersOf(["e test number 1 e"]))[0].label).toBe("ee");

    const corrections = [
      { text: "quite another thing", label: "ee" },
      { text: "and another one", label: "ff" },
    ];
    const corrected = await ask("POST", "/stores/intents/corrections", { corrections });
    expect(corrected.body.result).toEqual({
      version: 6,
      classes: [
        { label: "ee", task: "ee", texts: 1 },
        { label: "ff", task: "ff", texts: 1 },
      ],
    });

    const merged = await ask("POST", "/stores/intents/merge", { other: "others" });
    expect(merged.body.result).toMatchObject({ version: 7, tasks: [{ was: "letters" }] });
    expect((await ask("GET", "/stores/intents/status")).body.classes).toEqual(
      [..."abcdef"].map((letter) => letter + letter),
    );
    const { body } = await ask("GET", "/stores/intents/versions");
    expect(body.versions.map(({ change }: { change: string }) => change).slice(0, 3)).toEqual([
      "merged others",
      "learned class ff from 1 example, corrected 1 text",
      "back to version 3",
    ]);
  });

  test("a task is a job, whose events are told to its end; a job that is cancelled leaves the store as it was", async () => {
    const examples = texts(["gg", "hh"], "train", 40);
    const begun = await ask("POST", "/stores/others/learn", { task: "long", examples });
    expect(begun.status).toBe(202);
    expect(begun.headers.get("location")).toBe(`/stores/others/jobs/${begun.body.id}`);
    const events = eventsOf((await ask("GET", begun.body.events)).text);
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["state", "started", "step", "epoch", "router-fitting"]),
    );
    expect(events.at(-1)?.data).toEqual({ type: "state", state: "done" });
    const { version } = (await ask("GET", "/stores/others/status")).body;

    const job = (await ask("POST", "/stores/others/learn", { task: "longer", examples })).body;
    await until(
      "it steps",
      async () => (await ask("GET", `/stores/others/jobs/${job.id}`)).body.state === "running",
    );
    const cancelled = await ask("DELETE", `/stores/others/jobs/${job.id}`);
    expect(cancelled.body).toMatchObject({ state: "cancelled", error: { code: "ABORTED" } });
    expect((await ask("GET", "/stores/others/status")).body.version).toBe(version);
    expect((await ask("DELETE", `/stores/others/jobs/${job.id}`)).status).toBe(409);
    const again = await ask("POST", "/stores/others/learn?wait=true", { task: "longer", examples });
    expect(again.body.result).toMatchObject({ version: version + 1, task: "longer" });
  });

  test.each([
    [
      "a name that is taken",
      "learn",
      { task: "letters", examples: texts(["xx", "yy"]), statisticsOnly: true },
      409,
      /letters/,
    ],
    ["a class that nobody learned", "forget", { class: "zz" }, 404, /no class called "zz"/],
    ["a version that there is not", "rollback", { to: 999 }, 409, /999/],
    ["a store that is not served", "merge", { other: "../before" }, 404, /no store is called/],
  ])("%s is refused, and no path is told", async (_, change, body, status, message) => {
    const answered = await ask("POST", `/stores/others/${change}`, body);
    expect(answered.status).toBe(status);
    expect(answered.body.error).toMatch(message);
    expect(answered.text).not.toContain(root);
  });

  test("what another process changes is taken up without being told", async () => {
    const { version } = (await ask("GET", "/stores/intents/status")).body;
    await using elsewhere = await openStore(`${root}/intents`, { background: false });
    await elsewhere.forget({ class: "ff" });
    await until(
      "the version is seen",
      async () => (await ask("GET", "/stores/intents/status")).body.version === version + 1,
    );
    expect((await ask("GET", "/stores/intents/status")).body.classes).not.toContain("ff");
    expect(withoutVersion(await answersOf(questions))).toEqual(
      withoutVersion(JSON.parse(JSON.stringify(await elsewhere.predict(questions)))),
    );
  });
});

describe("a replica", () => {
  test("changes nothing, and takes up what its writer changes", async () => {
    await using replica = await served({ intents: `${root}/intents` }, { readOnly: true });
    const refused = await replica.ask("POST", "/stores/intents/forget", { class: "aa" });
    expect(refused).toMatchObject({ status: 403, body: { code: "READ_ONLY" } });
    const before = (await replica.ask("GET", "/stores/intents/status")).body.version;
    await ask("POST", "/stores/intents/learn", { class: "ii", texts: ["i train i", "i other i"] });
    await until(
      "the replica sees it",
      async () => (await replica.ask("GET", "/stores/intents/status")).body.version === before + 1,
    );
  });
});
