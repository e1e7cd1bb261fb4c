/**
 * One process that answers and learns for long: `soak.ts <folder> <model> <predictions> <changes>`. Prints one line of JSON for
 * each twentieth part: memory, open files and bytes on the disk.
 */
import { readdir } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openStore } from "../../../src/store/store.ts";
import { sizeOfFolder } from "../../../src/workspace/listing.ts";
import { questions, settings, statisticsOnly } from "../../support/stores.ts";
import { texts } from "../../support/tinyStreams.ts";

const [, , folder = "", backbone = "", predictions = "0", changes = "0"] = process.argv;

setFlagsFromString("--expose-gc");
const collect: unknown = runInNewContext("gc");

async function openFiles(): Promise<number> {
  return (await readdir("/proc/self/fd").catch(() => [])).length;
}

const parts = 20;
const create = { backbone, ...settings, router: { kind: "lda" }, keepVersions: 3 } as const;
await using store = await openStore(folder, { create, background: false });
await store.learn({ name: "known", train: texts(["aa", "bb", "cc"]) }, statisticsOnly);
await store.learn({ name: "adapted", train: texts(["dd", "ee"]) });
let changed = 0;
for (let part = 0; part < parts; part++) {
  for (; changed < ((part + 1) * Number(changes)) / parts; changed++)
    // The same two classes come and go: what is learned stays the same size.
    if (changed % 2 === 0) await store.learnClass("ff", ["f train number 1 f", `f number ${changed}`]);
    else await store.forget({ class: "ff" });
  for (let n = 0; n < Number(predictions) / parts; n++) {
    const [answer] = await store.predict([`${questions[n % questions.length]} ${part} ${n}`]);
    if (answer === undefined || !Number.isFinite(answer.score)) throw new RangeError("no answer");
  }
  if (typeof collect === "function") collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  const disk = await sizeOfFolder(folder);
  console.log(JSON.stringify({ rss, heap: heapUsed + external, files: await openFiles(), disk }));
}
