import { appendFile, readdir, readFile, stat } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { KeptTexts, parseKey } from "../../src/server/service/kept.ts";
import { temporaryFolder } from "../support/folders.ts";

const hour = 3_600_000;
const begun = Date.parse("2026-01-10T08:20:00Z");
const key = Buffer.alloc(32, 7);
const unknown = (text: string) => ({ reason: "unknown" as const, text, label: "aa", unknown: 0.9 });

async function keeping(options: { readonly key?: Buffer; readonly mostBytes?: number } = {}) {
  const folder = await temporaryFolder();
  const clock = { now: begun };
  const open = (other: object = {}) =>
    new KeptTexts(
      { kind: "folders", stores: { one: `${folder}/one` } },
      { days: 2, ...options, ...other },
      () => clock.now,
    );
  const bytes = async () => {
    const names = await readdir(`${folder}/one.kept`).catch(() => []);
    return (await Promise.all(names.map((name) => readFile(`${folder}/one.kept/${name}`, "utf8")))).join("");
  };
  return { folder, clock, kept: open(), open, bytes };
}

const textsOf = (all: readonly { readonly text: string }[]) => all.map(({ text }) => text);

describe("kept texts", () => {
  test("are listed the newest first, and by their reason", async () => {
    const { kept, clock } = await keeping();
    await kept.keep("one", [unknown("first"), unknown("second")]);
    clock.now += hour;
    await kept.keep("one", [{ reason: "correction", text: "third", label: "bb" }]);
    expect(textsOf(await kept.list("one", 10))).toEqual(["third", "second", "first"]);
    expect(textsOf(await kept.list("one", 10, "unknown"))).toEqual(["second", "first"]);
    expect(await kept.list("one", 1)).toMatchObject([{ label: "bb", time: "2026-01-10T09:20:00.000Z" }]);
  });

  test("lie in files that their owner alone may read", async () => {
    const { kept, folder } = await keeping();
    await kept.keep("one", [unknown("a")]);
    expect((await stat(`${folder}/one.kept`)).mode & 0o777).toBe(0o700);
    expect((await stat(`${folder}/one.kept/2026-01-10T08.jsonl`)).mode & 0o777).toBe(0o600);
  });

  test("are gone before they are older than said", async () => {
    const { kept, clock, bytes } = await keeping();
    await kept.keep("one", [unknown("old")]);
    clock.now = Date.parse("2026-01-11T10:00:00Z");
    await kept.keep("one", [unknown("young")]);
    clock.now = begun + 46 * hour;
    await kept.expire();
    expect(textsOf(await kept.list("one", 10))).toEqual(["young", "old"]);
    clock.now = begun + 48 * hour;
    await kept.expire();
    expect(textsOf(await kept.list("one", 10))).toEqual(["young"]);
    expect(await bytes()).not.toContain("old");
  });

  test("of stores in a folder lie beside each, and go on time though nobody asks for the store", async () => {
    const folder = await temporaryFolder();
    const clock = { now: begun };
    const kept = new KeptTexts({ kind: "root", folder }, { days: 2 }, () => clock.now);
    await kept.keep("one", [unknown("a")]);
    await kept.keep("two", [unknown("b")]);
    expect((await readdir(folder)).sort()).toEqual(["one.kept", "two.kept"]);
    expect(textsOf(await kept.list("two", 10))).toEqual(["b"]);
    clock.now += 48 * hour;
    await new KeptTexts({ kind: "root", folder }, { days: 2 }, () => clock.now).expire();
    expect(await readdir(`${folder}/one.kept`)).toEqual([]);
    expect(await readdir(`${folder}/two.kept`)).toEqual([]);
  });

  test("need a folder: stores of a bucket have none", () => {
    const bucket = { kind: "bucket", url: "s3://bucket", cache: "/var/cache" } as const;
    expect(() => new KeptTexts(bucket, { days: 2 })).toThrow(/stores of a bucket have none/);
  });

  test("are deleted by request: one, every copy of a text, all", async () => {
    const { kept, clock, bytes } = await keeping({ key });
    await kept.keep("one", [unknown("same"), unknown("other")]);
    clock.now += hour;
    await kept.keep("one", [unknown("same"), unknown("third")]);
    expect(await kept.remove("one", ({ text }) => text === "same")).toBe(2);
    expect(textsOf(await kept.list("one", 10))).toEqual(["third", "other"]);
    expect(await kept.remove("one")).toBe(2);
    expect(await bytes()).toBe("");
  });

  test("are sealed where there is a key: no other key opens them, and a changed byte is noticed", async () => {
    const { kept, bytes, open, folder } = await keeping({ key });
    await kept.keep("one", [unknown("a secret")]);
    expect(await bytes()).not.toContain("secret");
    expect(textsOf(await kept.list("one", 10))).toEqual(["a secret"]);
    expect(await open({ key: Buffer.alloc(32, 8) }).list("one", 10)).toEqual([]);
    expect(await open({ key: undefined }).list("one", 10)).toEqual([]);
    const line = (await bytes()).replace(/"sealed":"(.)/, (_, c) => `"sealed":"${c === "A" ? "B" : "A"}`);
    await kept.remove("one");
    await appendFile(`${folder}/one.kept/2026-01-10T08.jsonl`, line);
    expect(await kept.list("one", 10)).toEqual([]);
  });

  test("take no more room than they may", async () => {
    const { kept } = await keeping({ mostBytes: 500 });
    const counts: number[] = [];
    for (let i = 0; i < 10; i++) counts.push(await kept.keep("one", [unknown("x".repeat(100))]));
    expect(counts.slice(0, 2)).toEqual([1, 1]);
    expect(counts.at(-1)).toBe(0);
  });

  test.each(["", "abc", "00".repeat(31)])("%j is no key", (text) => {
    expect(() => parseKey(text)).toThrow(/not 32/);
  });

  test("a key is 32 bytes in hexadecimal or base64", () => {
    expect(parseKey(` ${key.toString("hex")}\n`)).toEqual(key);
    expect(parseKey(key.toString("base64"))).toEqual(key);
  });
});
