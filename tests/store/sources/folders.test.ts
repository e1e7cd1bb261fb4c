/** Stores in folders: which names there are, and which folder a name is. */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Discretion } from "../../../src/server/engine/errors.ts";
import { openSource, type StoresAt, storesAt } from "../../../src/store/sources/openSource.ts";
import { temporaryFolder } from "../../support/folders.ts";

async function rootOf(...names: readonly string[]) {
  const folder = await temporaryFolder();
  const add = async (name: string) => {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, "manifest.json"), "{}");
  };
  for (const name of names) await add(name);
  const source = await openSource({ kind: "root", folder }, "reading");
  return { folder, add, source };
}

describe("a root", () => {
  test("has the folders with a manifest, and those that are linked there", async () => {
    const { folder, source } = await rootOf("b", "a", "with blank", "a.kept/deeper");
    await mkdir(join(folder, "empty"));
    await writeFile(join(folder, "file"), "");
    await symlink(join(folder, "a"), join(folder, "linked"));
    expect(await source.names()).toEqual(["a", "b", "linked"]);
    expect(await source.folder("linked")).toBe(join(folder, "linked"));
  });

  test("finds a store by its name at once, whether it was listed before or not", async () => {
    const { folder, add, source } = await rootOf("a");
    expect(await source.names()).toEqual(["a"]);
    await add("new");
    expect(await source.folder("new")).toBe(join(folder, "new"));
    await rm(join(folder, "a"), { recursive: true });
    await expect(source.folder("a")).rejects.toMatchObject({ code: "NO_SUCH_STORE", exitCode: 2 });
  });

  test.each([
    ["", /no store is called ""/],
    [".", /no store is called "."/],
    ["..", /no store is called ".."/],
    ["../other", /no store is called/],
    ["intents/../intents", /no store is called/],
    ["/etc", /no store is called/],
    ["intents\0", /no store is called/],
    ["x".repeat(129), /no store is called/],
    ["intent", /did you mean "intents"\?/],
  ])("no store is called %j", async (name, message) => {
    const { folder, source } = await rootOf("intents");
    await writeFile(join(folder, "manifest.json"), "{}");
    await expect(source.folder(name)).rejects.toThrow(message);
  });

  test("of many names the nearest that begins alike is named", async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `tenant-${1000 + i}`);
    const { source } = await rootOf(...names);
    await expect(source.folder("tenant-15x0")).rejects.toThrow(/did you mean "tenant-15\d0"\?/);
    await expect(source.folder("tenant-1999x")).rejects.toThrow(/did you mean "tenant-1999"\?/);
    await expect(source.folder("tenant-0999")).rejects.toThrow(/did you mean "tenant-1\d99"\?/);
  });

  test("must be a folder", async () => {
    const { folder } = await rootOf();
    await writeFile(join(folder, "file"), "");
    const open = (name: string) => openSource({ kind: "root", folder: join(folder, name) }, "reading");
    await expect(open("nowhere")).rejects.toThrow(/nowhere: there is no such folder/);
    await expect(open("file")).rejects.toThrow(/file: is no folder/);
  });
});

describe("folders that are named", () => {
  test("are where they were named, and changed there", async () => {
    const source = await openSource({ kind: "folders", stores: { b: "/srv/two", a: "/srv/one" } }, "writing");
    expect(await source.names()).toEqual(["a", "b"]);
    expect(await source.change("a", async (folder) => `changed ${folder}`, 1)).toBe("changed /srv/one");
    await expect(source.folder("toString")).rejects.toMatchObject({ code: "NO_SUCH_STORE" });
  });
});

test("a place is a folder, or a bucket with a folder for its copies", () => {
  expect(storesAt("stores")).toEqual({ kind: "root", folder: "stores" });
  expect(storesAt("s3://bucket/stores", "/var/cache")).toEqual({
    kind: "bucket",
    url: "s3://bucket/stores",
    cache: "/var/cache",
  });
  expect(() => storesAt("s3://bucket")).toThrow(/no folder is named/);
});

test.each<[StoresAt, string, string]>([
  [{ kind: "root", folder: "/srv/stores" }, "/srv/stores/intents: is damaged", "intents: is damaged"],
  [{ kind: "folders", stores: { one: "/srv/x" } }, "/srv/x: is damaged", "one: is damaged"],
  [
    { kind: "bucket", url: "s3://b/p", cache: "/c" },
    "/c/reading/0123456789ab-1/intents: is damaged",
    "intents: is damaged",
  ],
])("what stands for the paths of %j", (at, message, said) => {
  expect(new Discretion(at).say(message)).toBe(said);
});
