/** Stores in a bucket: replicas read them, one writer at a time changes them. ACCRETE_ATTACK=1 kills and interleaves more. */
import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtefacts } from "../../../src/artefacts/open.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { openBucketSource } from "../../../src/store/sources/bucket.ts";
import { pullStore, pushStore } from "../../../src/store/sources/transfer.ts";
import { openStore } from "../../../src/store/store.ts";
import { checkFolder } from "../../../src/workspace/check.ts";
import { readPresent, readStore } from "../../../src/workspace/reading.ts";
import { Workspace } from "../../../src/workspace/workspace.ts";
import { ask, heardOf } from "../../support/cli.ts";
import { refusalOf } from "../../support/errors.ts";
import { bytesBelow, folderOfTestFile, freshTarget } from "../../support/folders.ts";
import { startProxy } from "../../support/s3Proxy.ts";
import { adapterTask, anyModel, statisticsTask } from "../../support/states.ts";
import { answers, fittedFiles, questions, statisticsOnly, workshop } from "../../support/stores.ts";
import { s3Server, startS3 } from "../../support/sweeps.ts";
import { texts } from "../../support/tinyStreams.ts";
import { addTask, begunStore, namesIn } from "../../support/workspaces.ts";

const full = process.env.ACCRETE_ATTACK === "1";
const program = join(packageRoot, "tests/reliability/programs/bucketWriter.ts");

let places = 0;
/** A store with two tasks, pushed to a place of its own. */
async function published(below: string) {
  const place = `${below}/${++places}`;
  const local = await begunStore();
  await addTask(local, "one");
  await addTask(local, "two");
  await pushStore(local, `${place}/intents`);
  return { place, local };
}

const cache = () => folderOfTestFile("copies");
const whole = (folder: string) => bytesBelow(folder, (name) => name !== "lock.json");
const open = (place: string, folder = cache(), termMs = 1000) => openBucketSource(place, folder, { termMs });

function startWriter(place: string, name: string, changes: number, termMs: number, folder = cache()) {
  const args = [program, place, folder, "intents", name, `${changes}`, `${termMs}`];
  return spawn(process.execPath, ["--import", "tsx", ...args], {
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
}

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
    expect(await pushStore(local, url)).toEqual({ version: 3, unchanged: false });
    expect(await pushStore(local, url)).toEqual({ version: 3, unchanged: true });
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
    const overtaken = slow.change(
      "intents",
      async (own) => {
        await addTask(own, "mine");
        // As if the term had run out while this process slept.
        const lease = await artefacts.readName("leases/intents");
        await artefacts.setName("leases/intents", '{"termMs":1,"until":"","id":"x"}', lease);
        await fast.change("intents", (other) => addTask(other, "theirs"), 5);
      },
      0,
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
      ["gone", { ...value, files: { ...value.files, "manifest.json": "0".repeat(64) } }, /0{64}/],
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
    expect(await pushStore(local, url)).toEqual({ version: 4, unchanged: false });
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
    });
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
    expect(await ask("push", shop.at("intents"), url)).toEqual([{ url, version: 2, unchanged: false }]);
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

  test("a damaged object is named, and the copy stays at the version before", async () => {
    const { place, local } = await published(folder);
    await using reader = await open(place);
    const copy = await reader.folder("intents");
    await addTask(local, "three");
    await pushStore(local, `${place}/intents`);
    const { tasks } = await readStore(local);
    const hash = tasks.at(-1)?.adapter.files["statistics.safetensors"] ?? "";
    const path = join(place, "objects", hash.slice(0, 2), hash);
    const bytes = await readFile(path);
    await writeFile(path, "flipped");
    expect(await refusalOf(reader.pull("intents"))).toContain(`${hash} is damaged`);
    expect(await namesIn(copy)).toEqual(["one", "two"]);
    expect(await checkFolder(copy)).toMatchObject({ problems: [] });
    await writeFile(path, bytes);
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

  test("asking for news costs one request, and a change few", async () => {
    const { place } = await published("s3://bucket/requests");
    const { asked } = await startProxy(s3.url);
    await using source = await open(place, cache(), 60_000);
    await source.change("intents", async () => {}, 0);
    asked.length = 0;
    await source.pull("intents");
    expect(asked.map(({ method, status }) => `${method} ${status}`)).toEqual(["GET 304"]);
    asked.length = 0;
    await source.change("intents", (own) => addTask(own, "three"), 0);
    const objects = asked.filter(({ url }) => url.includes("/objects/"));
    // A task's statistics and the manifest: looked for, and sent.
    expect(objects).toHaveLength(4);
    expect(asked.length - objects.length).toBe(6);
  });

  test("a server that leaves conditions aside is not written to", async () => {
    const { place } = await published("s3://bucket/careless");
    await startProxy(s3.url, () => "unconditional");
    await using writer = await open(place);
    const refused = writer.change("intents", (own) => addTask(own, "three"), 0);
    expect(await refusalOf(refused)).toContain("overwrites what was changed meanwhile");
    expect(await namesIn(await writer.folder("intents"))).toEqual(["one", "two"]);
  });

  test("answers that fail or are lost do no harm: a change that was published is known to be", async () => {
    const { place } = await published("s3://bucket/faults");
    const faults = ["refused", "lost", "cut"] as const;
    for (const fault of faults) {
      let count = 0;
      await startProxy(s3.url, ({ method, url }) =>
        method === "PUT" && url.includes("/names/") && count++ % 2 === 0 ? fault : undefined,
      );
      await using writer = await open(place, cache(), 60_000);
      await writer.change("intents", (own) => addTask(own, fault), 5);
      expect(count).toBeGreaterThan(6);
    }
    await using reader = await open(place);
    expect(await namesIn(await reader.folder("intents"))).toEqual(["one", "two", ...faults]);
  });

  test("where publishing fails the copy is not ahead, whether the change was published or not", async () => {
    const { place } = await published("s3://bucket/fails");
    for (const [fault, after] of [
      ["refused", ["one", "two"]],
      ["lost", ["one", "two", "lost"]],
    ] as const) {
      let isFailing = true;
      const fails = ({ url }: { url: string }) => url.includes("names/stores/") && isFailing;
      await startProxy(s3.url, (asked) => (asked.method === "PUT" && fails(asked) ? fault : undefined));
      const folder = cache();
      {
        await using writer = await open(place, folder);
        const failed = writer.change("intents", (own) => addTask(own, fault), 5);
        if (fault === "refused")
          expect(await refusalOf(failed)).toContain("whether the change was published is not");
        // Asked again, the server says that the name is set to what was wanted.
        else await failed.catch(() => {});
      }
      isFailing = false;
      await using next = await open(place, folder);
      await next.pull("intents");
      expect(await namesIn(await next.folder("intents"))).toEqual(after);
    }
  });

  test("a bucket that is not there is refused", async () => {
    expect(await refusalOf(open("s3://no-such-bucket/x"))).toMatch(/HTTP 404.*There is no such bucket/);
  });

  test("two writers, twenty changes each: none is lost", async () => {
    const { place } = await published("s3://bucket/writers");
    await startProxy(s3.url);
    const changes = full ? 100 : 20;
    await using reader = await open(place);
    const folder = await reader.folder("intents");
    let isOver = false;
    const reading = (async () => {
      let reads = 0;
      for (; !isOver; reads++) {
        await reader.pull("intents");
        await readPresent(folder, anyModel);
      }
      return reads;
    })();
    const ended = await Promise.all(
      ["a", "b"].map((name) => heardOf(startWriter(place, name, changes, 20_000))),
    );
    isOver = true;
    expect(await reading).toBeGreaterThan(changes);
    const acknowledged = ended.flatMap(({ out, err, exitCode }) => {
      expect({ err, exitCode }).toEqual({ err: "", exitCode: 0 });
      return out.trim().split("\n");
    });
    expect(acknowledged).toHaveLength(2 * changes);
    await reader.pull("intents");
    const names = await namesIn(folder);
    expect(names.toSorted()).toEqual(["one", "two", ...acknowledged].toSorted());
    // They took turns.
    expect(names.join(" ")).toMatch(/b-\d+ a-\d+.* b-\d+/);
    expect((await readStore(folder)).store.version).toBe(3 + 2 * changes);
    expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
  });

  test("writers that are killed lose nothing that was acknowledged, and the next one goes on", async () => {
    const { place } = await published("s3://bucket/kills");
    await startProxy(s3.url);
    const acknowledged: string[] = [];
    const own = cache();
    const kills = full ? 40 : 5;
    for (let n = 0; n < kills; n++) {
      // Half of them go on with the copies of the one before, others begin with none.
      const child = startWriter(place, `w${n}`, 1000, 1000, n % 2 === 0 ? own : cache());
      const heard = heardOf(child);
      await new Promise((resolve) => child.stdout.once("data", resolve));
      await sleep(Math.random() * 300);
      child.kill("SIGKILL");
      const { out, err } = await heard;
      expect(err).toBe("");
      acknowledged.push(...out.slice(0, out.lastIndexOf("\n")).split("\n"));
      await using reader = await open(place);
      const folder = await reader.folder("intents");
      expect(await namesIn(folder)).toEqual(expect.arrayContaining(acknowledged));
      expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
    }
    await using next = await open(place, own);
    await next.change("intents", (folder) => addTask(folder, "last"), 10);
    expect(await checkFolder(await next.folder("intents"))).toMatchObject({ problems: [], leftovers: [] });
    expect((await namesIn(await next.folder("intents"))).at(-1)).toBe("last");
  });

  test("on its own copies a writer goes on at once after a kill, whatever the term", async () => {
    const { place } = await published("s3://bucket/own");
    const own = cache();
    const child = startWriter(place, "killed", 1000, 600_000, own);
    const heard = heardOf(child);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await heard;
    const artefacts = await openArtefacts(place);
    const holder = { host: hostname(), pid: child.pid, cache: "" };
    const lease = JSON.parse((await artefacts.readName("leases/intents"))?.value ?? "");
    await using next = await open(place, own, 600_000);
    if (lease.holder !== undefined)
      expect(lease.holder).toMatchObject({ host: holder.host, pid: holder.pid });
    await next.change("intents", (folder) => addTask(folder, "last"), 5);
    expect((await namesIn(await next.folder("intents"))).at(-1)).toBe("last");
  });
});
