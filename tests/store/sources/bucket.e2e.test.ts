/** Stores in a bucket, and on a shared folder in its place: replicas read them, one writer at a time changes them. */
import { spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtefacts } from "../../../src/artefacts/open.ts";
import type { StoreSource } from "../../../src/store/sources/source.ts";
import { cleanPublished, pullStore, pushStore } from "../../../src/store/sources/transfer.ts";
import { openStore } from "../../../src/store/store.ts";
import { checkFolder } from "../../../src/workspace/check.ts";
import { readStore } from "../../../src/workspace/reading.ts";
import { Workspace } from "../../../src/workspace/workspace.ts";
import { cache, open, published, whole } from "../../support/buckets.ts";
import { ask, commandLine, heardOf } from "../../support/cli.ts";
import { refusalOf } from "../../support/errors.ts";
import { folderOfTestFile, freshTarget } from "../../support/folders.ts";
import { adapterTask, statisticsTask } from "../../support/states.ts";
import { answers, fittedFiles, questions, statisticsOnly, workshop } from "../../support/stores.ts";
import { s3Server, startS3 } from "../../support/sweeps.ts";
import { texts } from "../../support/tinyStreams.ts";
import { addTask, begunStore, namesIn } from "../../support/workspaces.ts";

/** What holds of a bucket, and of a shared folder in its place. */
function conforms(below: () => string): void {
  test("a copy has the bytes of what was pushed: adapters, statistics, pages, versions, routers", async () => {
    const local = await begunStore();
    const many = Array.from({ length: 70 }, (_, n) => statisticsTask(`task ${n}`));
    {
      await using workspace = await Workspace.open(local);
      const router = {
        stage: "immediate",
        files: new Map([["router.json", new Uint8Array([1, 2])]]),
      } as const;
      await workspace.commit({ tasks: [adapterTask("adapted")] }, "an adapter");
      await workspace.commit({ tasks: [adapterTask("adapted"), ...many] }, "many", router);
    }
    const url = `${below()}/bytes/intents`;
    expect(await pushStore(local, url)).toMatchObject({ version: 3, unchanged: false });
    expect(await pushStore(local, url)).toMatchObject({ version: 3, unchanged: true });
    await using source = await open(`${below()}/bytes`);
    expect(await source.names()).toEqual(["intents"]);
    const folder = await source.folder("intents");
    expect(await whole(folder)).toEqual(await whole(local));
    for (const part of ["router/000003/immediate/router.json", ".copy.json", "versions/000002.json"])
      expect(Object.keys(await whole(folder)).join(" ")).toContain(part);
    // What is gone or half is fetched anew.
    await rm(folder, { recursive: true });
    expect(await whole(await source.folder("intents"))).toEqual(await whole(local));
  });

  test("a replica takes up what a writer publishes, and drops what no version needs", async () => {
    const { place, local } = await published(below());
    await using writer = await open(place);
    await using reader = await open(place);
    const folder = await reader.folder("intents");
    expect(await writer.change("intents", (own) => addTask(own, "three").then(() => "made"), 0)).toBe("made");
    expect(await namesIn(folder)).toEqual(["one", "two"]);
    await reader.pull("intents");
    expect(await namesIn(folder)).toEqual(["one", "two", "three"]);
    await writer.change(
      "intents",
      async (own) => {
        await using workspace = await Workspace.open(own);
        await workspace.commit({ tasks: [statisticsTask("alone")] }, "forgot");
        await workspace.purge();
        // Its folder has a name that another one had.
        await workspace.commit({ tasks: [statisticsTask("two", ["other"])] }, "another two");
      },
      0,
    );
    await reader.pull("intents");
    expect(await whole(folder)).toEqual(await whole(await writer.folder("intents")));
    expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
    expect((await readStore(local)).store.version).toBe(3);
  });

  test("a router that was fitted since is published by a change that does nothing else", async () => {
    const { place } = await published(below());
    await using writer = await open(place);
    await using reader = await open(place);
    const own = await writer.folder("intents");
    const folder = await reader.folder("intents");
    {
      await using workspace = await Workspace.open(own);
      const files = new Map([["router.json", new Uint8Array([1, 2])]]);
      await workspace.writeRouter({ stage: "consolidated", files });
    }
    await writer.change("intents", async () => {}, 0);
    await reader.pull("intents");
    expect(Object.keys(await whole(folder))).toContain("router/000003/consolidated/router.json");
    expect(await whole(folder)).toEqual(await whole(own));
  });

  test("a change that fails leaves no trace, and one that does nothing publishes nothing", async () => {
    const { place } = await published(below());
    await using writer = await open(place);
    const folder = await writer.folder("intents");
    const before = await whole(folder);
    const failed = writer.change(
      "intents",
      async (own) => {
        await addTask(own, "three");
        throw new TypeError("after the change");
      },
      0,
    );
    await expect(failed).rejects.toThrow("after the change");
    expect(await whole(folder)).toEqual(before);
    const artefacts = await openArtefacts(place);
    const named = await artefacts.readName("stores/intents");
    expect(await writer.change("intents", async () => "nothing", 0)).toBe("nothing");
    expect(await artefacts.readName("stores/intents")).toEqual(named);
    await writer.change("intents", (own) => addTask(own, "three"), 0);
    expect((await readStore(folder)).store.version).toBe(4);
  });

  test("whoever was overtaken is refused, and the copy is as published", async () => {
    const { place } = await published(below());
    await using slow = await open(place, cache(), 60_000);
    await using fast = await open(place);
    const artefacts = await openArtefacts(place);
    const holder = { host: "elsewhere", pid: 7, cache: "theirs" };
    const robbed = slow.change(
      "intents",
      async (own) => {
        await addTask(own, "mine");
        const lease = await artefacts.readName("leases/intents");
        const theirs = JSON.stringify({ holder, termMs: 1, until: "", id: "x" });
        await artefacts.setName("leases/intents", theirs, lease);
      },
      0,
    );
    await expect(robbed).rejects.toThrow("took over the lease, which was not renewed in time; the change");
    const overtaken = slow.change(
      "intents",
      async (own) => {
        await addTask(own, "mine");
        // As if the term had run out while this process slept.
        const lease = await artefacts.readName("leases/intents");
        await artefacts.setName("leases/intents", '{"termMs":1,"until":"","id":"x"}', lease);
        await fast.change("intents", (other) => addTask(other, "theirs"), 5);
      },
      5,
    );
    await expect(overtaken).rejects.toMatchObject({ code: "STORE_BUSY" });
    expect(await namesIn(await slow.folder("intents"))).toEqual(["one", "two"]);
    // Publishing is refused also where the lease still stands.
    const fenced = slow.change(
      "intents",
      async (own) => {
        await addTask(own, "mine");
        const named = await artefacts.readName("stores/intents");
        await artefacts.setName("stores/intents", `${named?.value} `, named);
      },
      5,
    );
    await expect(fenced).rejects.toThrow("has published a version meanwhile; the change was not published");
    await slow.change("intents", (own) => addTask(own, "mine"), 5);
    expect(await namesIn(await slow.folder("intents"))).toEqual(["one", "two", "theirs", "mine"]);
  });

  test("a lease that nobody renews is taken over after its term, and not before", async () => {
    const { place } = await published(below());
    const artefacts = await openArtefacts(place);
    const holder = { host: "elsewhere", pid: 7, cache: "theirs" };
    // Their clock is wrong by years.
    const lease = JSON.stringify({ holder, termMs: 1000, until: "2001-01-01T00:00:00.000Z", id: "x" });
    await artefacts.setName("leases/intents", lease, await artefacts.readName("leases/intents"));
    await using writer = await open(place);
    const refusal = await refusalOf(writer.change("intents", async () => {}, 0));
    expect(refusal).toContain("/intents is being changed by process 7 on elsewhere, until 2001");
    await writer.change("intents", (own) => addTask(own, "three"), 10);
    expect(await namesIn(await writer.folder("intents"))).toContain("three");
  });

  test("sources on one folder of copies keep apart, and a later one goes on with what is there", async () => {
    const { place } = await published(below());
    const folder = cache();
    const paths: string[] = [];
    {
      await using one = await open(place, folder);
      await using two = await open(place, folder);
      paths.push(await one.folder("intents"), await two.folder("intents"));
    }
    expect(new Set(paths).size).toBe(2);
    await using three = await open(place, folder);
    expect(await three.folder("intents")).toBe(paths[0]);
  });

  test("what was damaged or is no store is refused, and names lead nowhere else", async () => {
    const { place, local } = await published(below());
    const artefacts = await openArtefacts(place);
    const named = await artefacts.readName("stores/intents");
    const value = JSON.parse(named?.value ?? "");
    await using source = await open(place);
    const tricks: readonly (readonly [string, object | string, RegExp])[] = [
      ["dots", { ...value, files: { ...value.files, "../out": "0".repeat(64) } }, /is no store: files/],
      ["later", { ...value, format: 2 }, /later version of Accrete/],
      ["torn", "{", /not valid JSON/],
      ["gone", { ...value, files: { ...value.files, "manifest.json": "0".repeat(64) } }, /is not there/],
    ];
    for (const [name, says, refusal] of tricks) {
      const text = typeof says === "string" ? says : JSON.stringify(says);
      await artefacts.setName(`stores/${name}`, text, undefined);
      expect(await refusalOf(source.folder(name))).toMatch(refusal);
    }
    for (const name of ["..", "a/b", "", "nobody"])
      await expect(source.folder(name)).rejects.toMatchObject({ code: "NO_SUCH_STORE", exitCode: 2 });
    expect(await whole(await source.folder("intents"))).toEqual(await whole(local));
  });

  test("push goes on from what is published, and pull from its own copies alone", async () => {
    const { place, local } = await published(below());
    const url = `${place}/intents`;
    const copy = freshTarget();
    expect(await pullStore(url, copy)).toEqual({ version: 3, unchanged: false });
    expect(await whole(copy)).toEqual(await whole(local));
    await addTask(local, "three");
    expect(await pushStore(local, url)).toMatchObject({ version: 4, unchanged: false });
    expect(await pullStore(url, copy)).toEqual({ version: 4, unchanged: false });
    expect(await pullStore(url, copy)).toEqual({ version: 4, unchanged: true });
    await addTask(copy, "other");
    await addTask(local, "another");
    await pushStore(local, url);
    await expect(pushStore(copy, url)).rejects.toMatchObject({
      message: expect.stringContaining('version 5 ("learned another"'),
      hint: expect.stringContaining("accrete pull"),
    });
    await expect(pullStore(url, copy)).rejects.toMatchObject({ code: "NAME_TAKEN" });
    const foreign = cache();
    await writeFile(join(foreign, "mine.txt"), "mine");
    await expect(pullStore(url, foreign)).rejects.toMatchObject({ code: "NAME_TAKEN" });
    await expect(pullStore(`${place}/nobody`, freshTarget())).rejects.toMatchObject({
      code: "NO_SUCH_STORE",
      hint: "There are: intents.",
    });
    const absent = `${place}/intent`;
    for (const ask of [() => pullStore(absent, freshTarget()), () => cleanPublished(absent)])
      expect(await refusalOf(ask())).toContain('no store is called "intent"; did you mean "intents"?');
    await using source = await open(place);
    expect(await refusalOf(source.folder("intent"))).toContain('did you mean "intents"?');
    expect(await refusalOf(source.folder("nobody"))).not.toContain("did you mean");
    expect(await refusalOf(pushStore(local, "s3://bucket"))).toContain("expected s3://bucket/prefix/name");
  });
}

describe("on a shared folder", () => {
  const folder = folderOfTestFile("shared");
  conforms(() => folder);

  test("what a writer teaches a replica answers with, from the router that came along", async () => {
    const shop = await workshop();
    {
      await using store = await shop.open("intents", { router: { kind: "lda" } });
      await store.learn({ name: "known", train: texts(["aa", "bb"]) }, statisticsOnly);
    }
    const url = `${folder}/taught/intents`;
    expect(await ask("push", shop.at("intents"), url)).toMatchObject([{ url, version: 2, unchanged: false }]);
    await using writer = await open(`${folder}/taught`);
    await using reader = await open(`${folder}/taught`);
    await using answering = await openStore(await reader.folder("intents"), { background: false });
    const taught = await writer.change(
      "intents",
      async (own) => {
        await using store = await openStore(own, { background: false });
        await store.learnClass("cc", ["c train number 1 c", "c number 2"]);
        return answers(await store.predict(questions));
      },
      0,
    );
    await reader.pull("intents");
    expect(await fittedFiles(answering.path)).toEqual(await fittedFiles(await writer.folder("intents")));
    expect(await answering.refresh()).toBe(3);
    // Read, not fitted: nothing was asked yet.
    expect(answering.status().router).toBe("consolidated");
    expect(answers(await answering.predict(questions))).toEqual(taught);
    const copy = freshTarget();
    expect(await ask("pull", url, copy)).toEqual([{ folder: copy, version: 3, unchanged: false }]);
    expect(await whole(copy)).toEqual(await whole(answering.path));
  });

  test("a store that is open follows, also where its own change was not published and another has its number", async () => {
    const shop = await workshop();
    {
      await using store = await shop.open("intents", { router: { kind: "lda" } });
      await store.learn({ name: "known", train: texts(["aa", "bb"]) }, statisticsOnly);
    }
    await pushStore(shop.at("intents"), `${folder}/follows/intents`);
    await using one = await open(`${folder}/follows`);
    await using two = await open(`${folder}/follows`);
    await using store = await openStore(await one.folder("intents"), { background: false });
    const failed = one.change(
      "intents",
      async () => {
        await store.learnClass("mine", ["n train number 1 n"]);
        throw new TypeError("after the change");
      },
      0,
    );
    await expect(failed).rejects.toThrow("after the change");
    const teach = (source: StoreSource, label: string) =>
      source.change(
        "intents",
        async (own) => {
          await using opened = await openStore(own, { background: false });
          await opened.learnClass(label, ["c train number 1 c"]);
        },
        0,
      );
    await teach(two, "theirs");
    await one.change("intents", () => store.learnClass("again", ["d train number 1 d"]), 0);
    expect(store.classes.toSorted()).toEqual(["aa", "again", "bb", "theirs"]);
    expect((await readStore(store.path)).tasks.map(({ name }) => name)).toEqual(["known", "theirs", "again"]);
    await two.pull("intents");
    expect(await whole(await two.folder("intents"))).toEqual(await whole(store.path));
  });

  test("a damaged object is named, and the copy stays at the version before", async () => {
    const { place, local } = await published(folder);
    await using reader = await open(place);
    const copy = await reader.folder("intents");
    await addTask(local, "three");
    await pushStore(local, `${place}/intents`);
    const { tasks } = await readStore(local);
    const hash = tasks.at(-1)?.adapter.files["statistics.safetensors"] ?? "";
    const contents = join(place, "contents/intents");
    const [key = ""] = (await readdir(contents)).filter((name) => name.startsWith(hash));
    const path = join(contents, key);
    const bytes = await readFile(path);
    await writeFile(path, "flipped");
    expect(await refusalOf(reader.pull("intents"))).toContain(`${hash} is damaged`);
    expect(await namesIn(copy)).toEqual(["one", "two"]);
    expect(await checkFolder(copy)).toMatchObject({ problems: [] });
    // Deleted, it is written again by whoever has it.
    await rm(path);
    expect(await pushStore(local, `${place}/intents`)).toMatchObject({ version: 4, unchanged: true });
    const [again = ""] = (await readdir(contents)).filter((name) => name.startsWith(hash));
    expect(await readFile(join(contents, again))).toEqual(bytes);
    await reader.pull("intents");
    expect(await whole(copy)).toEqual(await whole(local));
  });
});

describe.skipIf(s3Server.absent)(s3Server.titled("in a bucket"), () => {
  let s3: Awaited<ReturnType<typeof startS3>>;
  beforeAll(async () => {
    s3 = await startS3("bucket");
  });
  afterAll(() => s3?.[Symbol.asyncDispose]());
  conforms(() => "s3://bucket/stores");

  test("the command line says what is wrong and nothing of the client's own", async () => {
    const { NODE_NO_WARNINGS: _, ...env } = process.env;
    const child = spawn(process.execPath, commandLine(["pull", "s3://bucket/stores/nobody", freshTarget()]), {
      env: { ...env, DEBUG: "" },
    });
    const { err, exitCode } = await heardOf(child);
    expect({ err, exitCode }).toEqual({
      err: expect.stringMatching(/^accrete: .*no store is called "nobody"\n(.*\n)?$/),
      exitCode: 2,
    });
  });
});
