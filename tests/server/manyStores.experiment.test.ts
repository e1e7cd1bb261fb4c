/** A folder of stores behind one server: opened when they are asked for, closed for want of memory. */
import { cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import type { ServerOptions } from "../../src/server/server.ts";
import { openStore } from "../../src/store/store.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { temporaryFolder } from "../support/folders.ts";
import { type Ask, served, until, writeStores } from "../support/servers.ts";
import { texts } from "../support/tinyStreams.ts";

const letters = [..."abcdef"].map((letter) => `${letter} test number 1 ${letter}`);
/** Stores `ab`, `cd` and `ef` know the classes of their letters. */
let made: string;
/** What each answers, asked by itself. */
const right = new Map<string, readonly (string | null)[]>();

beforeAll(async () => {
  made = await writeStores({ ab: ["aa", "bb"], cd: ["cc", "dd"], ef: ["ee", "ff"] });
  for (const name of ["ab", "cd", "ef"]) {
    await using store = await openStore(`${made}/${name}`, { background: false });
    right.set(
      name,
      (await store.predict(letters)).map(({ label }) => label),
    );
  }
});

const labelsOf = async (ask: Ask, store: string) => {
  const { status, body } = await ask("POST", `/stores/${store}/predict`, { texts: letters });
  return status === 200 ? body.predictions.map(({ label }: { label: string }) => label) : body;
};

/** A server of its own on a root of its own. */
async function hosting(options: ServerOptions = {}) {
  const root = await temporaryFolder();
  const add = (name: string, from = name) => cp(`${made}/${from}`, `${root}/${name}`, { recursive: true });
  for (const name of ["ab", "cd", "ef"]) await add(name);
  const one = await served(root, options);
  const { ask } = one;
  const count = async (metric: string, thread = "answers") => {
    const { text } = await ask("GET", "/metrics");
    return Number(new RegExp(`^accrete_${metric}\\{thread="${thread}"\\} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  };
  return { ...one, root, add, count };
}

describe("stores of a folder", () => {
  test("are listed without being opened, page by page, and opened when they are asked for", async () => {
    await using one = await hosting();
    const { ask, count } = one;
    expect((await ask("GET", "/health/ready")).status).toBe(200);
    const closed = { name: "ab", open: false };
    expect((await ask("GET", "/stores?limit=2")).body).toEqual({
      stores: [closed, { name: "cd", open: false }],
      hasMore: true,
    });
    expect((await ask("GET", "/stores?after=cd")).body).toEqual({
      stores: [{ name: "ef", open: false }],
      hasMore: false,
    });
    expect((await ask("GET", "/stores?after=zz")).body).toEqual({ stores: [], hasMore: false });
    expect((await ask("GET", "/stores?limit=0")).status).toBe(422);
    expect(await count("open_stores")).toBe(0);

    expect(await labelsOf(ask, "cd")).toEqual(right.get("cd"));
    expect(await count("open_stores")).toBe(1);
    expect((await ask("GET", "/stores?after=ab&limit=1")).body.stores).toEqual([
      { name: "cd", open: true, version: 2, backbone: "model" },
    ]);
    const { body: models } = await ask("GET", "/v1/models?limit=2");
    expect(models.data.map(({ id, root }: { id: string; root: string }) => [id, root])).toEqual([
      ["ab", null],
      ["cd", "model"],
      ["cd/letters", "model"],
    ]);
    expect(models.has_more).toBe(true);
    expect((await ask("GET", "/info")).body).toMatchObject({ stores: [{ name: "cd" }], open_stores: 1 });
    const unnamed = await ask("POST", "/predict", { inputs: "a" });
    expect(unnamed).toMatchObject({ status: 422, body: { error: expect.stringContaining("ab, cd, ef") } });
    expect((await ask("POST", "/predict", { inputs: "e e", model: "ef/letters" })).status).toBe(200);
  });

  test("one that many ask for at first is opened once", async () => {
    await using one = await hosting();
    const answers = await Promise.all(Array.from({ length: 20 }, () => labelsOf(one.ask, "ab")));
    expect(answers).toEqual(answers.map(() => right.get("ab")));
    expect(await one.count("store_open_seconds_count")).toBe(1);
  });

  test("one that is made, replaced or deleted meanwhile is served as it is", async () => {
    await using one = await hosting();
    const { root, ask, add } = one;
    expect(await ask("GET", "/stores/new/status")).toMatchObject({ status: 404 });
    await add("new", "ab");
    expect(await labelsOf(ask, "new")).toEqual(right.get("ab"));
    expect((await ask("GET", "/stores/new/status")).body.version).toBe(2);
    // As many versions, but another store.
    await rename(`${root}/new`, `${root}/old`);
    await add("new", "cd");
    await until("the other store answers", async () => {
      const { body } = await ask("GET", "/stores/new/status");
      return body.classes.includes("cc");
    });
    expect(await labelsOf(ask, "new")).toEqual(right.get("cd"));
    await rm(`${root}/new`, { recursive: true });
    await until("it is gone", async () => (await ask("GET", "/stores/new/status")).status === 404);
    expect(await labelsOf(ask, "old")).toEqual(right.get("ab"));
  });

  test("what another process commits is answered with soon", async () => {
    await using one = await hosting();
    const { root, ask } = one;
    expect((await ask("GET", "/stores/ab/status")).body.classes).toEqual(["aa", "bb"]);
    await using store = await openStore(`${root}/ab`, { background: false });
    await store.learnClass("xx", ["x 1 x", "x 2 x"]);
    await until("it is taken up", async () => (await ask("GET", "/stores/ab/status")).body.version === 3);
    expect((await ask("GET", "/stores/ab/status")).body.classes).toEqual(["aa", "bb", "xx"]);
  });

  test.each([
    ["an unknown name", "/stores/abc/predict", /did you mean "ab"\?/],
    ["a name that leads elsewhere", "/stores/..%2Fab/predict", /no store is called "\.\.\/ab"/],
    ["the folder above", "/stores/%2e%2e%2f/predict", /no store is called/],
    ["the folder itself", "/stores/.%2F/predict", /no store is called/],
  ])("%s is refused", async (_, path, message) => {
    await using one = await hosting();
    const { status, body } = await one.ask("POST", path, { texts: ["a"] });
    expect([status, body.code]).toEqual([404, "NO_SUCH_STORE"]);
    expect(body.error).toMatch(message);
    expect(body.error).not.toContain(one.root);
  });

  test("a damaged one is refused alone, without a path, and answers once it is repaired", async () => {
    await using one = await hosting();
    const { root, ask, count } = one;
    const [task] = (await readStore(`${root}/ab`)).tasks;
    const path = `${root}/ab/${task?.adapter.folder}/statistics.safetensors`;
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, 100));
    const { status, body } = await ask("POST", "/stores/ab/predict", { texts: ["a"] });
    expect(status).toBe(500);
    expect(body.error).toMatch(/^ab\/.* is damaged/);
    expect(await labelsOf(ask, "cd")).toEqual(right.get("cd"));
    expect(await count("open_stores")).toBe(1);
    await writeFile(path, whole);
    expect(await labelsOf(ask, "ab")).toEqual(right.get("ab"));
  });
});

describe("a budget of memory", () => {
  const tiny = { memoryBytes: 1 };

  test("closes stores that come back with the same answers, and leaves nothing of them behind", async () => {
    await using one = await hosting(tiny);
    const { ask, count } = one;
    const names = ["ab", "cd", "ef"];
    for (const name of names) expect(await labelsOf(ask, name)).toEqual(right.get(name));
    const bytes = await count("open_stores_bytes");
    for (const name of [...names, ...names]) expect(await labelsOf(ask, name)).toEqual(right.get(name));
    expect(await count("open_stores")).toBe(1);
    // All three stores are alike.
    expect(await count("open_stores_bytes")).toBe(bytes);
    expect(await count("store_open_seconds_count")).toBe(9);
    expect(await count("store_evictions_total")).toBe(8);
    const { text } = await ask("GET", "/metrics");
    expect(new Set(text.match(/store="[^"]+"/g))).toEqual(new Set([`store="ef"`]));
    expect((await ask("GET", "/info")).body.stores.map(({ name }: { name: string }) => name)).toEqual(["ef"]);
  });

  test("does not close one that is asked or changed, and what was changed is there when it comes back", async () => {
    await using one = await hosting(tiny);
    const { ask, count } = one;
    const learning = ask("POST", "/stores/ab/learn?wait=true", {
      task: "others",
      examples: texts(["gg", "hh"], "train", 40),
      validation: texts(["gg", "hh"], "validation", 2),
    });
    const answers: unknown[] = [];
    let isDone = false;
    void learning.finally(() => {
      isDone = true;
    });
    while (!isDone) for (const name of ["ab", "cd", "ef"]) answers.push((await labelsOf(ask, name)).length);
    expect(await learning).toMatchObject({ status: 200, body: { state: "done", result: { version: 3 } } });
    expect(new Set(answers)).toEqual(new Set([letters.length]));
    const taught = await ask("POST", "/stores/cd/learn", { class: "xx", texts: ["x 1 x", "x 2 x"] });
    expect(taught).toMatchObject({ status: 200, body: { result: { version: 3 } } });
    await labelsOf(ask, "ef");
    for (const name of ["ab", "cd"])
      expect((await ask("GET", `/stores/${name}/status`)).body).toMatchObject({ version: 3 });
    expect((await ask("GET", "/stores/cd/status")).body.classes).toContain("xx");
    expect(await count("open_stores")).toBe(1);
  });

  test("leaves routers to be fitted of stores that were changed and closed", async () => {
    await using one = await hosting(tiny);
    const { ask, count } = one;
    for (const name of ["ab", "cd"])
      await ask("POST", `/stores/${name}/learn`, { class: "xx", texts: ["x 1 x", "x 2 x"] });
    expect(await count("open_stores", "changes")).toBe(1);
    for (const name of ["ab", "cd"])
      await until("the router takes over", async () => {
        const { body } = await ask("GET", `/stores/${name}/status`);
        return body.router === "consolidated" && body.version === 3;
      });
  });

  test("holds for stores that were named, too", async () => {
    const stores = { ab: `${made}/ab`, cd: `${made}/cd` };
    await using one = await served(stores, { ...tiny, readOnly: true });
    for (const name of ["ab", "cd", "ab"]) expect(await labelsOf(one.ask, name)).toEqual(right.get(name));
    expect((await one.ask("GET", "/info")).body.open_stores).toBe(1);
    expect((await one.ask("GET", "/stores")).body.stores.map(({ name }: { name: string }) => name)).toEqual([
      "ab",
      "cd",
    ]);
  });
});

test("a store that is watched is followed, though nobody asks it", async () => {
  await using one = await hosting();
  const { root, server } = one;
  const stop = new AbortController();
  const watching = server.service.watch("ab", stop.signal);
  expect((await watching.next()).value).toMatchObject({ status: { version: 2 } });
  await using store = await openStore(`${root}/ab`, { background: false });
  await store.learnClass("xx", ["x 1 x", "x 2 x"]);
  for await (const { status } of watching) if (status.version === 3) break;
  stop.abort();
});
