/** A store whose adapters lie in the top layer alone. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/overrides.ts";
import { TrunkMemory } from "../../src/continual/passes/trunkCache.ts";
import { loadStream } from "../../src/data/stream.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { openStore } from "../../src/store/store.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test("learns what a run does byte for byte, and leaves no states of texts on the disk", async () => {
  const folder = await temporaryFolder();
  const trunks = () => readdir(join(folder, "cache", "accrete", "trunk")).catch(() => []);
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
  const yaml = await writeTinyExperiment(folder);
  const backbone = join(folder, "bert");
  await writeTinyFamily("bert", backbone);
  const set = [`backbone=${backbone}`, "method.layers=1", "router=lda", "training.epochs=2"];
  const { config } = await loadConfig(
    yaml,
    set.map((each) => parseOverride(each)),
  );
  await using store = await openStore(join(folder, "store"), {
    create: {
      backbone,
      method: { layers: 1 },
      training: { epochs: 2, minSteps: 0, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 },
      router: { kind: "lda" },
      threads: 1,
    },
  });
  const kept = vi.spyOn(TrunkMemory.prototype, "rows");
  for (const task of (await loadStream(config.stream, config.seed)).tasks) await store.learn(task);
  // The tasks' train texts; those held out are too few.
  const rows = await Promise.all(kept.mock.results.map(({ value }) => value));
  expect(rows.filter((each) => each !== undefined)).toHaveLength(3);
  expect(await trunks()).toEqual([]);
  for await (const _ of runExperiment(config));
  expect(await trunks()).not.toEqual([]);
  const adaptersOf = async (path: string) => (await readStore(path)).tasks.map(({ adapter }) => adapter);
  expect(await adaptersOf(store.path)).toEqual(await adaptersOf(config.out));
});
