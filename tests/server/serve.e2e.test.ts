/** `accrete serve` as a process: how it starts, what it writes, how it ends. */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { openStore } from "../../src/store/store.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { spawnAccrete } from "../support/cli.ts";
import { bytesBelow, temporaryFolder } from "../support/folders.ts";
import { spawnServer, until, writeStores } from "../support/servers.ts";
import { optional } from "../support/shared.ts";
import { texts } from "../support/tinyStreams.ts";

let root: string;
let store: string;

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb"], "with space": [] });
  store = `${root}/intents`;
});

const predict = "/stores/intents/predict";
/** Long, and like no text that was learned. */
const strange = Array.from({ length: 20 }, (_, i) => `Zürich ${i} ??? 99 % of §${i} !!!`);

describe("before it listens", () => {
  test.each([
    ["an address that others reach, without tokens", ["--host", "0.0.0.0"], {}, /without a token/],
    [
      "one token alone, where changes are possible",
      ["--host", "0.0.0.0"],
      { ACCRETE_READ_TOKEN: "r" },
      /without a token/,
    ],
    ["a limit that there is not", ["--limit", "speed=9"], {}, /expected name=number/],
    ["a token of two words", [], { ACCRETE_READ_TOKEN: "a b" }, /holds no token/],
    ["a key that is none", ["--keep-texts", "1"], { ACCRETE_KEEP_KEY: "abc" }, /not 32/],
  ] as const)("%s is refused", async (_, args, env, message) => {
    const { exitCode, err } = await spawnAccrete(["serve", store, ...args], { env });
    expect({ exitCode, err }).toMatchObject({ exitCode: 2 });
    expect(err).toMatch(message);
  });

  test("so are two stores of one name, a name that no path may hold, and what is no store", async () => {
    const twice = await spawnAccrete(["serve", store, `intents=${store}`]);
    expect(twice).toMatchObject({ exitCode: 2 });
    expect(twice.err).toMatch(/two stores are called "intents"/);
    const spaced = await spawnAccrete(["serve", `${root}/with space`]);
    expect(spaced.err).toMatch(/"with space" is no name for a store/);
    const none = await spawnAccrete(["serve", root]);
    expect(none).toMatchObject({ exitCode: 2 });
    const unread = await spawnAccrete(["serve", "--read-only", `${root}/nowhere`]);
    expect(unread).toMatchObject({ exitCode: 2 });
    const nothing = await spawnAccrete(["serve"]);
    expect(nothing).toMatchObject({ exitCode: 2, out: "" });
    expect(nothing.err).toMatch(/no store and no run to serve/);
    // Where one is no store, none of the others is begun.
    const mixed = await spawnAccrete(["serve", `${root}/new`, root]);
    expect(mixed).toMatchObject({ exitCode: 2, out: "" });
    expect(existsSync(`${root}/new`)).toBe(false);
  });
});

const shipped = optional(join(packageRoot, "models/accrete-mini/model.safetensors"));

/** A store of the demo's texts on the model that ships, which can tell what is unknown. */
async function writeDemoStore(): Promise<string> {
  const lines = (await readFile(join(packageRoot, "demo/train.jsonl"), "utf8")).trim().split("\n");
  const create = { backbone: "accrete-mini" };
  await using store = await openStore(`${root}/demo/intents`, { create, background: false });
  const train = lines.map((line) => JSON.parse(line));
  await store.learn({ name: "demo", train }, { statisticsOnly: true });
  return store.path;
}

describe("while it runs", () => {
  test.skipIf(shipped.absent)(
    shipped.titled(
      "writes no text anywhere, unless it is told to keep some; kept ones are sealed, listed and deleted",
    ),
    async () => {
      const store = await writeDemoStore();
      const cache = await temporaryFolder();
      const env = { XDG_CACHE_HOME: cache, ACCRETE_CHANGE_TOKEN: "changer" };
      const before = await bytesBelow(root);
      const silent = await spawnServer([store, "--read-only"], env);
      await silent.ask("POST", predict, { texts: strange });
      expect((await silent.ask("GET", "/stores/intents/kept")).status).toBe(401);
      expect(await silent.end("SIGTERM")).toBe(0);
      expect(await bytesBelow(root)).toEqual(before);
      expect(silent.logged()).not.toContain("Zürich");
      for (const hex of Object.values(await bytesBelow(cache)))
        expect(Buffer.from(hex, "hex").toString()).not.toContain("Zürich");

      const keyFile = `${cache}/key`;
      await writeFile(keyFile, `${"ab".repeat(32)}\n`);
      const keeping = await spawnServer([store, "--keep-texts", "30"], {
        ...env,
        ACCRETE_KEEP_KEY_FILE: keyFile,
      });
      const headers = { Authorization: "Bearer changer" };
      const { body } = await keeping.ask("POST", predict, { texts: strange });
      const unknown = body.predictions.filter((each: { unknown: number }) => each.unknown > 0.5);
      expect(unknown.length).toBeGreaterThan(0);
      const corrections = [{ text: "quite another thing", label: "book_flight" }];
      await keeping.ask("POST", "/stores/intents/corrections", { corrections }, headers);
      const listed = await keeping.ask("GET", "/stores/intents/kept?limit=50", undefined, headers);
      expect(listed.body.texts).toHaveLength(unknown.length + 1);
      expect(listed.body.texts[0]).toMatchObject({
        reason: "correction",
        text: "quite another thing",
        label: "book_flight",
      });
      const files = await readdir(`${store}.kept`);
      for (const file of files)
        expect(await readFile(`${store}.kept/${file}`, "utf8")).not.toMatch(/Zürich|another/);
      const gone = { text: "quite another thing" };
      expect((await keeping.ask("POST", "/stores/intents/kept/delete", gone, headers)).body).toEqual({
        removed: 1,
      });
      expect((await keeping.ask("POST", "/stores/intents/kept/delete", {}, headers)).body).toEqual({
        removed: unknown.length,
      });
      expect(await readdir(`${store}.kept`)).toEqual([]);
      expect(await keeping.end("SIGTERM")).toBe(0);
    },
  );
});

describe("when it is told to stop", () => {
  test("says that it is not ready, answers what it was asked, and leaves nothing half learned", async () => {
    const { ask, end, logged } = await spawnServer([store, "--limit", "drainSeconds=6"]);
    const { version } = (await ask("GET", "/stores/intents/status")).body;
    // More than any machine learns in the seconds that are waited for.
    const examples = texts(["yy", "zz"], "train", 40_000);
    const { id } = (await ask("POST", "/stores/intents/learn", { task: "long", examples })).body;
    await until("it is learned", async () => {
      const job = await ask("GET", `/stores/intents/jobs/${id}`);
      return job.body.state === "running";
    });
    const asked = Promise.all(
      Array.from({ length: 8 }, () =>
        ask("POST", predict, { texts: Array.from({ length: 100 }, (_, i) => `a ${i}`) }),
      ),
    );
    await until("they are being answered", async () => {
      const { text } = await ask("GET", "/metrics");
      return !/^accrete_batch_texts_count 0$/m.test(text);
    });
    const ended = end("SIGTERM");
    expect((await asked).map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    expect(await ended).toBe(0);
    expect(logged()).toMatch(/"message":"stopping"/);
    expect(await checkFolder(store)).toMatchObject({ problems: [] });
    const again = await spawnServer([store, "--read-only"]);
    const { body } = await again.ask("GET", "/stores/intents/status");
    expect(body).toMatchObject({ version });
    expect(body.tasks.map(({ name }: { name: string }) => name)).not.toContain("long");
  });
});
