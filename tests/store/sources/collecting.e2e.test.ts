/**
 * What a bucket loses: nothing that is published, though a writer die or lose its lease before or behind any step; and
 * everything else. The same on a shared folder.
 */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtefacts } from "../../../src/artefacts/open.ts";
import { StoreError } from "../../../src/core/errors.ts";
import { openBucketSource } from "../../../src/store/sources/bucket.ts";
import { originFile } from "../../../src/store/sources/origin.ts";
import { cleanPublished, pullStore, pushStore } from "../../../src/store/sources/transfer.ts";
import { purgeStore } from "../../../src/store/upkeep.ts";
import { checkFolder } from "../../../src/workspace/check.ts";
import { Workspace } from "../../../src/workspace/workspace.ts";
import { type Step, type Steps, stepwise } from "../../support/artefactSteps.ts";
import { cache, expectExact, lying, named, open, published, whole } from "../../support/buckets.ts";
import { accrete, ask } from "../../support/cli.ts";
import { refusalOf } from "../../support/errors.ts";
import { folderOfTestFile, freshTarget } from "../../support/folders.ts";
import { startProxy } from "../../support/s3Proxy.ts";
import { statisticsTask } from "../../support/states.ts";
import { s3Server, startS3 } from "../../support/sweeps.ts";
import { addTask, begunStore, namesIn } from "../../support/workspaces.ts";

const full = process.env.ACCRETE_ATTACK === "1";
const term = 60_000;
const mostSkipped = 4;

async function openStepwise(place: string, steps: Steps, folder = cache()) {
  const artefacts = stepwise(await openArtefacts(place), steps);
  return await openBucketSource(place, folder, { termMs: term, artefacts });
}

/** Forgets every task but these, and purges: earlier versions and what they alone hold are gone. */
async function keepOnly(folder: string, ...names: string[]): Promise<void> {
  await using workspace = await Workspace.open(folder, { elsewhere: false });
  await workspace.commit({ tasks: names.map((name) => statisticsTask(name)) }, "forgot");
  await workspace.purge();
}

/** Learns what another one has forgotten, byte for byte; where nobody has, something new. */
async function learnAgain(folder: string): Promise<void> {
  await addTask(folder, (await namesIn(folder)).includes("one") ? "three" : "one");
}

/** Takes the lease from whoever holds it, as if its term had passed while the holder slept. */
async function robLease(place: string): Promise<void> {
  const artefacts = await openArtefacts(place);
  const lease = await artefacts.readName("leases/intents");
  if (lease !== undefined)
    await artefacts.setName("leases/intents", '{"termMs":1,"until":"","id":"x"}', lease);
}

/** Whether a step says something to other writers: a lease, or what is published. */
const tells = ({ call, what }: Step) => call === "setName" && !what.startsWith("probes/");
/** Whether another writer in this moment may change what a step does, or the step what others see. */
const matters = (step: Step) => tells(step) || ["write", "list", "remove"].includes(step.call);

/** * Steps that a change may be stopped at, counted from 1: those that matter, and of the others each so manieth. Where most are
 * skipped, as on S3, which differs in none of them, only those that tell others something.
 * @param below where a store may be published
 */
async function stepsOf(
  below: string,
  make: (folder: string) => Promise<void>,
  every: number,
): Promise<readonly number[]> {
  const { place } = await published(below);
  const steps: Step[] = [];
  await using writer = await openStepwise(place, { before: async (step) => void steps.push(step) });
  await writer.change("intents", make, 0);
  const isTried = every > mostSkipped ? tells : matters;
  return steps.filter((step, i) => i % every === 0 || isTried(step)).map(({ number }) => number);
}

/**
 * What holds of a bucket, and of a shared folder in its place.
 * @param every of the steps that matter least, each so manieth is tried
 */
function conforms(below: () => string, every: number): void {
  test("a purge reaches the place, and every change takes away what it replaces", async () => {
    const { place } = await published(below());
    const artefacts = await openArtefacts(place);
    await expectExact(place);
    await using writer = await open(place);
    await writer.change("intents", (own) => addTask(own, "three"), 0);
    await expectExact(place);
    const before = await lying(artefacts);
    const purged = await named(place);
    await writer.change("intents", (own) => keepOnly(own, "two"), 0);
    await expectExact(place);
    const after = await lying(artefacts);
    // The settings, the task that stays and its manifest.
    expect(after).toHaveLength(3);
    expect(before).toEqual(purged);
    // A router that is fitted again takes the place of the one before.
    for (const bytes of [[1], [2]]) {
      await writer.change(
        "intents",
        async (own) => {
          await using workspace = await Workspace.open(own, { elsewhere: false });
          await workspace.writeRouter({
            stage: "immediate",
            files: new Map([["router.json", new Uint8Array(bytes)]]),
          });
        },
        0,
      );
      await expectExact(place);
      expect(await lying(artefacts)).toHaveLength(4);
    }
  });

  test("a store that was purged here is pushed, an earlier copy is brought to it, and both are told apart from others", async () => {
    const { place, local } = await published(below());
    const url = `${place}/intents`;
    const copy = freshTarget();
    await pullStore(url, copy);
    const changed = freshTarget();
    await pullStore(url, changed);
    await addTask(changed, "other");
    await keepOnly(local, "two");
    const pushed = await pushStore(local, url);
    expect(pushed).toMatchObject({ version: 4, unchanged: false, deletedObjects: 4, remainingObjects: 0 });
    expect(pushed.freedBytes).toBeGreaterThan(500);
    await expectExact(place);
    expect(await pullStore(url, copy)).toEqual({ version: 4, unchanged: false });
    expect(await whole(copy)).toEqual(await whole(local));
    // Pulled, changed and purged: its own past is not taken for theirs.
    await expect(pullStore(url, changed)).rejects.toMatchObject({ code: "NAME_TAKEN" });
    await keepOnly(changed, "other");
    expect(await refusalOf(pushStore(changed, url))).toContain("not among the versions of");
    // A purge alone makes no version, and reaches the place as well.
    await addTask(copy, "five");
    await pushStore(copy, url);
    await purgeStore(copy);
    expect(await pushStore(copy, url)).toMatchObject({ version: 5, unchanged: false });
    await expectExact(place);
  });

  test("what other stores, sweeps and people put there stays", async () => {
    const { place, local } = await published(below());
    const artefacts = await openArtefacts(place);
    await pushStore(local, `${place}/intents2`);
    await artefacts.put("a".repeat(64), new Uint8Array([1]));
    await artefacts.write("contents/intents/readme.txt", new Uint8Array([2]));
    await artefacts.write(`contents/intents/below/${"b".repeat(64)}.${"0".repeat(16)}`, new Uint8Array([3]));
    const other = await lying(artefacts, "intents2");
    await using writer = await open(place);
    await writer.change("intents", (own) => keepOnly(own, "two"), 0);
    expect(await lying(artefacts, "intents2")).toEqual(other);
    expect(await artefacts.has("a".repeat(64))).toBe(true);
    const left = (await artefacts.list("contents/intents")).map(({ key }) => key.split("/").at(-1));
    expect(
      left.filter((key) => !/^[0-9a-f]{64}\./.test(key ?? "")).filter((key) => key !== "below"),
    ).toSatisfy((names: string[]) => names.includes("readme.txt"));
    const deep = await artefacts.list("contents/intents/below");
    expect(deep).toHaveLength(1);
    await writer.change("intents2", (own) => keepOnly(own, "one"), 0);
    await expectExact(place, "intents2");
  });

  test("a writer that dies before or behind any step leaves everything that is published, and the next one the rest", async () => {
    const stops = await stepsOf(below(), (own) => keepOnly(own, "two"), every);
    for (const when of ["before", "after"] as const)
      for (const at of stops) {
        const { place } = await published(below());
        let isDead = false;
        const die = async ({ number }: Step) => {
          isDead ||= number >= at;
          if (isDead) throw new StoreError("the process is gone");
        };
        await using dying = await openStepwise(place, { before: async () => {}, [when]: die });
        const end = await dying
          .change("intents", (own) => keepOnly(own, "two"), 0)
          .then(
            () => "published",
            () => "failed",
          );
        expect(isDead).toBe(true);
        const after = await named(place);
        expect(await lying(await openArtefacts(place))).toEqual(expect.arrayContaining(after));
        const copy = freshTarget();
        await pullStore(`${place}/intents`, copy);
        if (end === "published") expect(await namesIn(copy)).toEqual(["two"]);
        // It died, and its lease ends.
        await robLease(place);
        await using next = await open(place);
        await next.change("intents", (own) => addTask(own, "later"), 5);
        await expectExact(place);
      }
  });

  test("a clean-up takes what writers left, and nothing that is published", async () => {
    const { place, local } = await published(below());
    const artefacts = await openArtefacts(place);
    const left = async (count: number) => {
      for (let n = 0; n < count; n++)
        await artefacts.write(
          `contents/intents/${String(n).repeat(64)}.${"0".repeat(16)}`,
          new Uint8Array(100),
        );
    };
    await left(3);
    expect(await cleanPublished(`${place}/intents`)).toMatchObject({
      version: 3,
      deletedObjects: 3,
      freedBytes: 300,
      remainingObjects: 0,
    });
    await expectExact(place);
    // What somebody wrote a second time is there once afterwards.
    const [key = ""] = (await artefacts.list("contents/intents")).map((object) => object.key);
    const bytes = join(folderOfTestFile("again"), "object");
    await artefacts.read(key, bytes);
    const { size: sizeBytes } = await stat(bytes);
    await artefacts.write(key.replace(/\.\w+$/, `.${"0".repeat(16)}`), { path: bytes, sizeBytes });
    expect(await cleanPublished(`${place}/intents`)).toMatchObject({
      deletedObjects: 2,
      remainingObjects: 0,
    });
    await expectExact(place);
    expect(await cleanPublished(`${place}/intents`)).toMatchObject({
      deletedObjects: 0,
      remainingObjects: 0,
    });
    // Whoever has it goes on as before.
    await addTask(local, "three");
    expect(await pushStore(local, `${place}/intents`)).toMatchObject({ version: 4, unchanged: false });
  });

  test("a reader in the midst of an earlier version takes the next one, whatever step it is at", async () => {
    let overtaken = 0;
    for (let at = 1; ; at += every) {
      const { place } = await published(below());
      await using writer = await open(place);
      await writer.folder("intents");
      let isOvertaken = false;
      await using reader = await openStepwise(place, {
        before: async ({ number }) => {
          if (number !== at) return;
          isOvertaken = true;
          await writer.change("intents", (own) => keepOnly(own, "three"), 0);
        },
      });
      const folder = await reader.folder("intents");
      if (!isOvertaken) break;
      overtaken += 1;
      expect(["one two", "three"]).toContain((await namesIn(folder)).join(" "));
      expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
      await reader.pull("intents");
      expect(await whole(folder)).toEqual(await whole(await writer.folder("intents")));
    }
    expect(overtaken * every).toBeGreaterThan(6);
  });

  test("a reader that a version is published under again and again keeps what it has, and comes to the end", async () => {
    const { place } = await published(below());
    await using writer = await open(place);
    let changes = 0;
    const reads: string[] = [];
    await using reader = await openStepwise(place, {
      before: async ({ call, what }) => {
        if (call !== "read") return;
        reads.push(what);
        if (changes < 6)
          await writer.change("intents", (own) => keepOnly(own, "one", "two", `new-${++changes}`), 0);
      },
    });
    const folder = await reader.folder("intents");
    await reader.pull("intents");
    expect(changes).toBe(6);
    expect(await namesIn(folder)).toEqual(["one", "two", "new-6"]);
    expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
  });

  test("an object that is gone though it is published is an error, and a whole copy brings it back", async () => {
    const { place, local } = await published(below());
    const artefacts = await openArtefacts(place);
    const objects = await artefacts.list("contents/intents");
    for (const { key } of objects) await artefacts.remove(key);
    await using reader = await open(place);
    expect(await refusalOf(reader.folder("intents"))).toMatch(
      /is not there.*accrete push writes what is missing/,
    );
    expect(await pushStore(local, `${place}/intents`)).toMatchObject({ version: 3, unchanged: true });
    await expectExact(place);
  });

  /** Of two writers one loses its lease before the n-th step of its change, and the other one does something in that moment. */
  const interleavings: readonly {
    readonly title: string;
    readonly first: (folder: string) => Promise<void>;
    readonly second: (place: string, source: Awaited<ReturnType<typeof open>>) => Promise<unknown>;
  }[] = [
    {
      title: "one purges while the other learns the same again",
      first: (own) => keepOnly(own, "two"),
      second: (_, source) => source.change("intents", (own) => learnAgain(own), 5),
    },
    {
      title: "one learns while the other purges what it learns",
      first: (own) => addTask(own, "three"),
      second: (_, source) => source.change("intents", (own) => keepOnly(own, "two"), 5),
    },
    {
      title: "one learns while the other one cleans up and publishes nothing new",
      first: (own) => addTask(own, "three"),
      second: (place) => cleanPublished(`${place}/intents`),
    },
    {
      title: "one purges while the other purges, and then learns again what both took away",
      first: (own) => keepOnly(own, "two"),
      second: async (_, source) => {
        await source.change("intents", (own) => keepOnly(own, "two"), 5);
        await source.change("intents", (own) => addTask(own, "one"), 5);
        await source.change("intents", (own) => addTask(own, "three"), 5);
      },
    },
  ];
  for (const { title, first, second } of interleavings)
    test(`two writers of which one lost its lease, at every step: ${title}`, async () => {
      const ends = new Set<string>();
      for (const at of await stepsOf(below(), first, every)) {
        const { place } = await published(below());
        await using other = await open(place);
        await other.folder("intents");
        let isOvertaken = false;
        await using slow = await openStepwise(place, {
          before: async ({ number }) => {
            if (number !== at) return;
            isOvertaken = true;
            await robLease(place);
            await second(place, other);
          },
        });
        const end = await slow.change("intents", first, 5).then(
          () => "published",
          (error: unknown) => (error instanceof StoreError ? error.code : String(error)),
        );
        expect(isOvertaken).toBe(true);
        ends.add(end);
        const there = await lying(await openArtefacts(place));
        expect(there).toEqual(expect.arrayContaining(await named(place)));
        await robLease(place);
        await other.change("intents", (own) => addTask(own, "last"), 5);
        const lay = await lying(await openArtefacts(place));
        expect([...new Set(lay)]).toEqual(await named(place));
      }
      expect([...ends].sort()).toEqual(["STORE_BUSY", "published"]);
    });

  test("a writer that lost its lease before it read what it begins with cannot publish what the other one deletes", async () => {
    const { place } = await published(below());
    let letList = () => {};
    const mayList = new Promise<void>((resolve) => {
      letList = resolve;
    });
    let isChanging = false;
    let tellPublished = () => {};
    const hasPublished = new Promise<void>((resolve) => {
      tellPublished = resolve;
    });
    await using other = await openStepwise(place, {
      before: async ({ call }) => {
        if (call !== "list" || !isChanging) return;
        tellPublished();
        await mayList;
      },
    });
    await other.folder("intents");
    let otherChange: Promise<void> | undefined;
    let hasLease = false;
    let hasWritten = false;
    await using slow = await openStepwise(place, {
      before: async ({ call, what }) => {
        if (call === "setName" && hasWritten) {
          letList();
          await otherChange;
        }
        if (call === "readName" && what === "stores/intents" && hasLease && otherChange === undefined) {
          await robLease(place);
          isChanging = true;
          otherChange = other.change("intents", (own) => keepOnly(own, "two"), 5);
          await hasPublished;
        }
        hasLease ||= call === "setName" && what === "leases/intents";
        hasWritten ||= call === "write";
      },
    });
    const lost = slow.change("intents", (own) => addTask(own, "three"), 5);
    await expect(lost).rejects.toMatchObject({ code: "STORE_BUSY" });
    await otherChange;
    await expectExact(place);
    expect(hasWritten).toBe(true);
    await slow.change("intents", (own) => addTask(own, "three"), 5);
    await expectExact(place);
  });

  test("what cannot be deleted is told, the change stands, and the next one makes up for it", async () => {
    const { place } = await published(below());
    const artefacts = await openArtefacts(place);
    let mayDelete = false;
    let removals = 0;
    await using writer = await openStepwise(place, {
      before: async ({ call }) => {
        if (call !== "remove" || mayDelete) return;
        if (++removals > 2) throw new StoreError("cannot be deleted", { hint: "Ask for the right." });
      },
    });
    const warnings: string[] = [];
    await writer.change(
      "intents",
      (own) => keepOnly(own, "two"),
      0,
      (message) => warnings.push(message),
    );
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /intents: \d of the objects that nothing names could not be deleted: cannot be deleted\. Ask for the right\. What is published stands\..*accrete gc .*intents$/,
    );
    expect(await namesIn(await writer.folder("intents"))).toEqual(["two"]);
    expect((await lying(artefacts)).length).toBeGreaterThan((await named(place)).length);
    mayDelete = true;
    await writer.change(
      "intents",
      (own) => addTask(own, "three"),
      0,
      (message) => warnings.push(message),
    );
    expect(warnings).toHaveLength(1);
    await expectExact(place);
  });

  test("the command line pushes what was purged, cleans up by the url, and says how much", async () => {
    const { place, local } = await published(below());
    const url = `${place}/intents`;
    await keepOnly(local, "two");
    const purged = await accrete("forget", local, "--purge");
    expect(purged.err).toContain(`note: ${url} may still hold what was purged: accrete push`);
    expect(await ask("push", local, url)).toMatchObject([
      { url, version: 4, unchanged: false, deletedObjects: 4, remainingObjects: 0 },
    ]);
    const artefacts = await openArtefacts(place);
    await artefacts.write(`contents/intents/${"c".repeat(64)}.${"0".repeat(16)}`, new Uint8Array(2048));
    expect(await ask("gc", url)).toEqual([
      { url, version: 4, deletedObjects: 1, freedBytes: 2048, remainingObjects: 0 },
    ]);
    const { out, exitCode } = await accrete("gc", url);
    expect({ out, exitCode }).toEqual({
      out: `${url}: version 4: deleted 0 objects that nothing names, 0 B\n`,
      exitCode: 0,
    });
    const keep = await accrete("gc", url, "--keep", "3");
    expect(keep.exitCode).toBe(2);
    expect(keep.err).toContain("--keep is of a store in a folder");
  });
}

describe("on a shared folder", () => {
  const folder = folderOfTestFile("shared");
  conforms(() => folder, full ? 1 : 4);

  test("what a writer left that died while it wrote goes too, and a store's memory of a place is its own", async () => {
    const { place, local } = await published(folder);
    const contents = join(place, "contents/intents");
    await writeFile(join(contents, ".tmp-elsewhere-7-x1y2"), "half of somebody's rows");
    await mkdir(join(contents, "mine"));
    await using writer = await open(place);
    await writer.change("intents", (own) => addTask(own, "three"), 0);
    expect((await readdir(contents)).filter((name) => !/^[0-9a-f]{64}\./.test(name))).toEqual(["mine"]);
    // A file that says something else than it should is as good as none.
    await writeFile(join(local, originFile), "{");
    expect(await refusalOf(pushStore(local, `${place}/intents`))).toContain("not among the versions of");
    const fresh = await begunStore();
    expect(await refusalOf(pushStore(fresh, `${place}/intents`))).toContain("not among the versions of");
  });
});

describe.skipIf(s3Server.absent)(s3Server.titled("in a bucket"), () => {
  let s3: Awaited<ReturnType<typeof startS3>>;
  beforeAll(async () => {
    s3 = await startS3("bucket");
  });
  afterAll(() => s3?.[Symbol.asyncDispose]());
  conforms(() => "s3://bucket/stores", full ? 1 : 12);

  test("without the right to delete a push stands, says which right is missing, and gc fails until it is there", async () => {
    const { place, local } = await published("s3://bucket/rights");
    const url = `${place}/intents`;
    let mayDelete = false;
    const { asked } = await startProxy(s3.url, ({ method }) =>
      method === "DELETE" && !mayDelete ? "forbidden" : undefined,
    );
    await keepOnly(local, "two");
    const pushed = await pushStore(local, url);
    expect(pushed).toMatchObject({ version: 4, unchanged: false, deletedObjects: 0, remainingObjects: 4 });
    expect(pushed.warning).toMatch(/\(HTTP 403\).*s3:DeleteObject.*accrete gc s3:/);
    // It is not asked for each of them.
    expect(asked.filter(({ method }) => method === "DELETE").length).toBeLessThanOrEqual(16);
    // Only what is new was sent: the manifest.
    expect(asked.filter(({ method, url }) => method === "PUT" && url.includes("/contents/"))).toHaveLength(1);
    const refused = await accrete("gc", url, "--json");
    expect(refused.exitCode).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({ version: 4, deletedObjects: 0, remainingObjects: 4 });
    expect(refused.err).toContain("s3:DeleteObject");
    mayDelete = true;
    expect(await ask("gc", url)).toMatchObject([{ deletedObjects: 4, remainingObjects: 0 }]);
    await expectExact(place);
  });

  test("more objects than a page of the listing has are all found", async () => {
    const { place } = await published("s3://bucket/pages");
    const artefacts = await openArtefacts(place);
    const keys = Array.from(
      { length: 1005 },
      (_, n) => `contents/intents/${n.toString(16).padStart(64, "0")}.${"0".repeat(16)}`,
    );
    for (let start = 0; start < keys.length; start += 50)
      await Promise.all(keys.slice(start, start + 50).map((key) => artefacts.write(key, new Uint8Array(1))));
    expect(await cleanPublished(`${place}/intents`)).toMatchObject({ deletedObjects: 1005 });
    await expectExact(place);
  });
});
