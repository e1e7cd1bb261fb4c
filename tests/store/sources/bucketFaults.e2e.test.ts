/** Stores in a bucket whose server or writers fail. ACCRETE_ATTACK=1 kills and interleaves more. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtefacts } from "../../../src/artefacts/open.ts";
import { checkFolder } from "../../../src/workspace/check.ts";
import { readPresent, readStore } from "../../../src/workspace/reading.ts";
import { cache, lying, named, open, published, startWriter } from "../../support/buckets.ts";
import { heardOf } from "../../support/cli.ts";
import { refusalOf } from "../../support/errors.ts";
import { startProxy } from "../../support/s3Proxy.ts";
import { anyModel } from "../../support/states.ts";
import { checksSignatures, s3Server, startS3 } from "../../support/sweeps.ts";
import { addTask, namesIn } from "../../support/workspaces.ts";

const full = process.env.ACCRETE_ATTACK === "1";

describe.skipIf(s3Server.absent)(s3Server.titled("in a bucket"), () => {
  let s3: Awaited<ReturnType<typeof startS3>>;
  beforeAll(async () => {
    s3 = await startS3("bucket");
  });
  afterAll(() => s3?.[Symbol.asyncDispose]());

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
    const objects = asked.filter(({ url }) => url.includes("/contents/"));
    // A task's statistics and the manifest.
    expect(objects.map(({ method }) => method)).toEqual(["PUT", "PUT"]);
    const listings = asked.filter(({ url }) => url.includes("list-type=2"));
    expect(listings).toHaveLength(1);
    expect(asked.length - objects.length - listings.length).toBe(6);
  });

  // Its conditions are taken away on the way, and they are signed.
  test.skipIf(checksSignatures)("a server that leaves conditions aside is not written to", async () => {
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

  test("two writers at once: no change is lost", async () => {
    const { place } = await published("s3://bucket/writers");
    await startProxy(s3.url);
    const changes = full ? 50 : 8;
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
    const kills = full ? 40 : 3;
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
    // Of what the dead had begun to write nothing is left.
    expect([...new Set(await lying(await openArtefacts(place)))]).toEqual(await named(place));
  });

  test("the copies of a writer that died are brought back, and a writer on them goes on at once", async () => {
    const { place } = await published("s3://bucket/own");
    const own = cache();
    expect(await heardOf(startWriter(place, "killed", 0, 600_000, own))).toMatchObject({
      exitCode: null,
      err: "",
    });
    await using next = await open(place, own, 600_000);
    expect(await namesIn(await next.folder("intents"))).toEqual(["one", "two"]);
    await next.change("intents", (folder) => addTask(folder, "last"), 5);
    expect(await namesIn(await next.folder("intents"))).toEqual(["one", "two", "last"]);
    await heardOf(startWriter(place, "killed", 0, 600_000));
    // With copies of its own it cannot tell that the other one is dead.
    await expect(next.change("intents", async () => {}, 1)).rejects.toMatchObject({ code: "STORE_BUSY" });
  });
});
