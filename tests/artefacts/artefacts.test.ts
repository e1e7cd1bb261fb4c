import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { openArtefacts } from "../../src/artefacts/open.ts";
import { ArtefactCache, publishAlone, publishFolder } from "../../src/artefacts/tree.ts";
import { sha256 } from "../../src/io/hash.ts";
import { inParallel } from "../../src/store/sources/inParallel.ts";
import { openConnection } from "../../src/sweep/queue/connection.ts";
import { refusalOf } from "../support/errors.ts";
import { bytesBelow, folderOfTestFile, folderWith } from "../support/folders.ts";
import { startProxy } from "../support/s3Proxy.ts";
import { s3Server, startS3 } from "../support/sweeps.ts";

test("a package that is not installed is named, with what to type", async () => {
  for (const name of ["@aws-sdk/client-s3", "bullmq"])
    vi.doMock(name, () => {
      throw new TypeError("not there");
    });
  onTestFinished(() => {
    vi.doUnmock("@aws-sdk/client-s3");
    vi.doUnmock("bullmq");
  });
  expect(await refusalOf(openArtefacts("s3://bucket"))).toContain("npm install @aws-sdk/client-s3");
  expect(await refusalOf(openConnection("redis://127.0.0.1:1"))).toContain("npm install bullmq ioredis");
});

/**
 * What holds for a store of either kind.
 * @param atomic whether the server looks and writes in one step: S3 does, moto's threads do not
 */
function conforms(place: () => string, atomic: boolean): void {
  test("a folder comes back as it was, each file once and checked", async () => {
    const store = await openArtefacts(place());
    const folder = folderWith({
      "a.txt": "one",
      "deep/er/b.bin": new Uint8Array([0, 255]),
      "lock.json": "x",
    });
    const tree = await publishFolder(store, folder);
    expect(await publishFolder(store, folder)).toBe(tree);
    const fetched = vi.spyOn(store, "fetch");
    const cache = new ArtefactCache(store, folderOfTestFile("cache"));
    const [one, two] = await Promise.all([cache.folder(tree), cache.folder(tree)]);
    expect(one).toBe(two);
    expect(fetched).toHaveBeenCalledTimes(3);
    await rm(join(folder, "lock.json"));
    expect(await bytesBelow(one)).toEqual(await bytesBelow(folder));
  });

  test("objects under keys of their own are written, read, listed and deleted, and no others", async () => {
    const store = await openArtefacts(place());
    const file = join(folderWith({ "large.bin": new Uint8Array(70_000).fill(7) }), "large.bin");
    await store.write("own/a/one", new Uint8Array([1, 2]));
    await store.write("own/a/two", { path: file, sizeBytes: 70_000 });
    await store.write("own/ab/three", new Uint8Array());
    const byKey = async (folder: string) =>
      (await store.list(folder)).toSorted((a, b) => (a.key < b.key ? -1 : 1));
    expect(await byKey("own/a")).toEqual([
      { key: "own/a/one", sizeBytes: 2 },
      { key: "own/a/two", sizeBytes: 70_000 },
    ]);
    expect(await store.list("own/nobody")).toEqual([]);
    const target = join(folderOfTestFile("read"), "two");
    expect(await store.read("own/a/two", target)).toBe(true);
    expect(await readFile(target)).toEqual(await readFile(file));
    expect(await store.read("own/a/three", `${target}-2`)).toBe(false);
    await store.remove("own/a/one");
    await store.remove("own/a/one");
    expect(await byKey("own/a")).toEqual([{ key: "own/a/two", sizeBytes: 70_000 }]);
    expect(await byKey("own/ab")).toEqual([{ key: "own/ab/three", sizeBytes: 0 }]);
  });

  test("a name is set once, and replaced only by whoever read what it says", async () => {
    const store = await openArtefacts(place());
    expect(await store.readName("a/b")).toBeUndefined();
    const values = ["x", "y", "z"];
    const set = (value: string) => store.setName("a/b", value, undefined);
    const results = atomic ? await Promise.all(values.map(set)) : [];
    if (!atomic) for (const value of values) results.push(await set(value));
    expect(results.filter(Boolean)).toHaveLength(1);
    const read = await store.readName("a/b");
    const later = await store.setName("a/b", "later", read);
    expect(later?.value).toBe("later");
    expect(await store.setName("a/b", "too late", read)).toBeUndefined();
    expect(await store.readName("a/b")).toEqual(later);
    // What was read last comes back itself where it stands.
    expect(await store.readName("a/b", later)).toBe(later);
    expect(await store.readName("a/b", read)).toEqual(later);
  });

  test("names are listed by their beginning", async () => {
    const store = await openArtefacts(place());
    for (const name of ["list/b", "list/B", "list/a.b", "lists/c"]) await store.setName(name, "x", undefined);
    expect(await store.names("list/")).toEqual(["list/B", "list/a.b", "list/b"]);
    expect(await store.names("none/")).toEqual([]);
  });

  test("what is missing is told by its hash", async () => {
    const store = await openArtefacts(place());
    const hash = sha256("never written");
    expect(await store.has(hash)).toBe(false);
    const cache = new ArtefactCache(store, folderOfTestFile("cache"));
    expect(await refusalOf(cache.folder(hash))).toContain(hash);
  });
}

describe("a shared folder", () => {
  const folder = folderOfTestFile("artefacts");
  conforms(() => folder, true);

  test("content that was damaged is not taken", async () => {
    const store = await openArtefacts(folder);
    const tree = await publishAlone(store, join(folderWith({ "a.txt": "whole" }), "a.txt"), "a.txt");
    const hash = sha256("whole");
    await writeFile(join(folder, "objects", hash.slice(0, 2), hash), "flipped");
    const cache = new ArtefactCache(store, folderOfTestFile("cache"));
    expect(await refusalOf(cache.folder(tree))).toContain(`${hash} is damaged`);
  });

  test("one that cannot be made is refused", async () => {
    const file = join(folderWith({ file: "" }), "file");
    expect(await refusalOf(openArtefacts(join(file, "below")))).toContain("cannot be made");
  });
});

describe.skipIf(s3Server.absent)(s3Server.titled("S3"), () => {
  let s3: Awaited<ReturnType<typeof startS3>>;
  beforeAll(async () => {
    s3 = await startS3("bucket");
  });
  afterAll(() => s3?.[Symbol.asyncDispose]());
  conforms(() => "s3://bucket/prefix", false);

  test("a bucket that is not there is refused", async () => {
    expect(await refusalOf(openArtefacts("s3://no-such-bucket/x"))).toMatch(
      /HTTP 404.*There is no such bucket/,
    );
    expect(await refusalOf(openArtefacts("s3://"))).toContain("expected s3://bucket");
  });

  test("names of more than one page are listed", async () => {
    const store = await openArtefacts("s3://bucket/pages");
    const names = Array.from({ length: 1001 }, (_, n) => `many/${String(n).padStart(4, "0")}`);
    await inParallel(names, async (name) => void (await store.setName(name, "x", undefined)));
    expect(await store.names("many/")).toEqual(names);
  });

  test("an answer that breaks off is asked for again, and who has no credentials is told so", async () => {
    let broken = 0;
    await startProxy(s3.url, ({ method, url }) =>
      method === "GET" && url.includes("/objects/") && broken++ < 2 ? "cut" : undefined,
    );
    const store = await openArtefacts("s3://bucket/cut");
    const tree = await publishAlone(store, join(folderWith({ "a.txt": "text" }), "a.txt"), "a.txt");
    const folder = await new ArtefactCache(store, folderOfTestFile("cache")).folder(tree);
    expect(await readFile(join(folder, "a.txt"), "utf8")).toBe("text");
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = process.env;
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
    process.env.AWS_EC2_METADATA_DISABLED = "true";
    onTestFinished(() => {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
      delete process.env.AWS_EC2_METADATA_DISABLED;
    });
    const refused = openArtefacts("s3://bucket/cut");
    await expect(refused).rejects.toMatchObject({ exitCode: 2 });
    await expect(refused).rejects.toThrow(/the bucket cannot be used/);
    await expect(refused).rejects.toHaveProperty("hint", expect.stringContaining("AWS_ACCESS_KEY_ID"));
  });

  test("requests that fail or are slow are made again", async () => {
    // Of every three requests one is answered late, and one not at all well.
    let count = 0;
    await startProxy(s3.url, () => (["refused", "late", undefined] as const)[count++ % 3]);
    const store = await openArtefacts("s3://bucket/shaky");
    const tree = await publishAlone(store, join(folderWith({ "a.txt": "text" }), "a.txt"), "a.txt");
    const folder = await new ArtefactCache(store, folderOfTestFile("cache")).folder(tree);
    expect(await readFile(join(folder, "a.txt"), "utf8")).toBe("text");
    expect(count).toBeGreaterThan(6);
  });
});
