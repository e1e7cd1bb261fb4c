/**
 * A fault at changes of the file system in the course of a whole run: what the run goes on with is whole, and gone on with it
 * ends as one that nothing befell. Bounded to some places of each kind; ACCRETE_ATTACK=1 takes every one.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { checkFolder } from "../../src/workspace/check.ts";
import { type FaultKind, faultKinds, withFaults } from "../support/faults.ts";
import { bytesBelow, deadOwner } from "../support/folders.ts";
import { TinyRuns } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const places = process.env.ACCRETE_ATTACK === "1" ? Number.POSITIVE_INFINITY : 5;
const runs = new TinyRuns({ "training.epochs": 1, router: "lda" });
let changes = 0;
/** Changes at which answers were recorded, and the evaluation that they are of was not yet. */
const between: number[] = [];

/** What a run ends with, but for times. */
async function endOf(name: string) {
  const read = async (file: string) => await readFile(runs.at(name, file), "utf8");
  const metrics = JSON.parse(await read("metrics.json"));
  const { tasks } = JSON.parse(await read("manifest.json"));
  return {
    tasks,
    adapters: await bytesBelow(runs.at(name, "adapters")),
    predictions: (await read("predictions.jsonl")).split("\n").sort(),
    cil: metrics.cil,
    routed: metrics.routed,
    matrix: await read("routed_matrix.csv"),
  };
}

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
  await runs.run("whole");
  // The first one has written hashes into the system's folder for caches.
  const run = async () => void (await runs.run("counted"));
  changes = await withFaults("fails", 0, "EIO", run, (change) => between.push(change + 1));
});

/** Spread over the run, its first and its last change among them, and one between two records that belong together. */
function placesOf(kind: FaultKind): readonly number[] {
  const count = Math.min(places, changes);
  const shift = faultKinds.indexOf(kind) / faultKinds.length;
  const step = (changes - 1) / (count - 1);
  const spread = Array.from({ length: count }, (_, i) =>
    Math.round(Math.min(changes, 1 + (i + (i === 0 || i === count - 1 ? 0 : shift)) * step)),
  );
  return [...new Set([...spread, ...between.slice(1, 2)])];
}

describe.each(faultKinds)("a run in which the disk %s", (kind) => {
  test("is gone on with, and ends as one that nothing befell", async () => {
    expect(changes).toBeGreaterThan(50);
    expect(between.length).toBeGreaterThan(2);
    const whole = await endOf("whole");
    for (const [i, at] of placesOf(kind).entries()) {
      const name = `${kind} ${at}`.replaceAll(" ", "-");
      const code = i % 2 === 0 ? "ENOSPC" : "EIO";
      const failed = await withFaults(kind, at, code, async () => {
        await runs.run(name);
      }).then(
        () => false,
        () => true,
      );
      if (kind.startsWith("dies"))
        await writeFile(runs.at(name, "lock.json"), JSON.stringify({ ...deadOwner(), held: "os" }));
      const before = await checkFolder(runs.at(name)).catch(() => undefined);
      const torn = before?.problems.filter(({ problem }) => problem !== "is missing") ?? [];
      expect(torn, name).toEqual([]);
      if (failed) await runs.run(name, {}, { resume: true });
      expect(await endOf(name), name).toEqual(whole);
      expect(await checkFolder(runs.at(name)), name).toMatchObject({ problems: [], leftovers: [] });
      await rm(join(runs.root, name), { recursive: true });
    }
  });
});
