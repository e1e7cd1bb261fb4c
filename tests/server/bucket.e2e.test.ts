/** `accrete serve --stores s3://…`: two servers as processes on one bucket, which one of them changes. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArtefacts } from "../../src/artefacts/open.ts";
import { pushStore } from "../../src/store/sources/transfer.ts";
import { lying, named } from "../support/buckets.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { spawnServer, until, writeStores } from "../support/servers.ts";
import { s3Server, startS3 } from "../support/sweeps.ts";

const place = "s3://served/stores";
const status = "/stores/intents/status";
const predict = "/stores/intents/predict";

describe.skipIf(s3Server.absent)(s3Server.titled("stores in a bucket"), () => {
  let s3: Awaited<ReturnType<typeof startS3>>;

  beforeAll(async () => {
    s3 = await startS3("served");
    const local = await writeStores({ intents: ["aa", "bb"], others: ["cc"] });
    for (const name of ["intents", "others"]) await pushStore(`${local}/${name}`, `${place}/${name}`);
  });

  afterAll(() => s3?.[Symbol.asyncDispose]());

  test("one server changes a store, the other one takes it up, and neither tells of this machine", async () => {
    // Both may have the same cache folder.
    const copies = ["--stores", place, "--cache", folderOfTestFile("copies")];
    const writer = await spawnServer(copies);
    const reader = await spawnServer([...copies, "--read-only", "--memory", "1MB"]);
    expect(
      (await reader.ask("GET", "/stores")).body.stores.map(({ name }: { name: string }) => name),
    ).toEqual(["intents", "others"]);
    expect((await reader.ask("GET", status)).body).toMatchObject({ version: 2, classes: ["aa", "bb"] });

    const taught = { class: "xx", texts: ["x 1 x", "x 2 x", "x 4 x"] };
    const learned = await writer.ask("POST", "/stores/intents/learn", taught);
    expect(learned).toMatchObject({ status: 200, body: { result: { version: 3 } } });
    await until("it is taken up", async () => (await reader.ask("GET", status)).body.version === 3, 10);
    const asked = { texts: ["x 3 x", "a 3 a"] };
    const [one, other] = [await writer.ask("POST", predict, asked), await reader.ask("POST", predict, asked)];
    expect(one.body.predictions[0]).toMatchObject({ version: 3, label: "xx" });
    expect(other.body.predictions.map(({ label }: { label: string }) => label)).toEqual(
      one.body.predictions.map(({ label }: { label: string }) => label),
    );

    // The router that takes over is fitted where the store was changed, and published.
    const consolidated = async () => (await reader.ask("GET", status)).body.consolidated;
    await until("its router is taken up", async () => (await consolidated()) === "stands", 60);
    expect((await reader.ask("POST", predict, asked)).body.predictions[0]).toMatchObject({ label: "xx" });

    const missing = await reader.ask("POST", "/stores/intent/predict", asked);
    expect(missing).toMatchObject({ status: 404, body: { code: "NO_SUCH_STORE" } });
    expect(missing.text).toContain("GET /v1/models");
    expect(missing.text).toContain('did you mean \\"intents\\"?');
    const refused = await reader.ask("POST", "/stores/intents/learn", taught);
    expect(refused).toMatchObject({ status: 403, body: { code: "READ_ONLY" } });

    // What is forgotten with a purge is gone from the bucket too.
    const before = await lying(await openArtefacts(place));
    const forgotten = await writer.ask("POST", "/stores/intents/forget", { class: "xx", purge: true });
    expect(forgotten).toMatchObject({ status: 200, body: { result: { version: 4, keptVersions: [] } } });
    const after = await lying(await openArtefacts(place));
    expect(after.length).toBeLessThan(before.length);
    await until(
      "the other one forgets too",
      async () => (await reader.ask("GET", status)).body.version === 4,
      10,
    );
    await until("nothing else lies there", async () => {
      const there = await lying(await openArtefacts(place));
      return JSON.stringify(there) === JSON.stringify(await named(place).catch(() => []));
    });

    // What is wrong with a copy is told by the store's name.
    const empty = await writer.ask("POST", "/stores/intents/forget", { class: "nothing" });
    expect(empty.status).toBe(404);
    expect(empty.text).not.toContain("copies");
    expect(await writer.end("SIGTERM")).toBe(0);
    expect(await reader.end("SIGTERM")).toBe(0);
  });
});
