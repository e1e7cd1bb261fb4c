/** What a store counted is kept on the disk: the next process counts only what is new, and ends with the same router. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { totalsFile } from "../../src/continual/routing/statisticsRouting.ts";
import { FeatureMapper } from "../../src/continual/statistics/featureMaps.ts";
import { openStore } from "../../src/store/store.ts";
import { routerPlace } from "../../src/workspace/routers.ts";
import { statisticsOnly, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

const kernel = { router: { kind: "kernel-discriminant" } } as const;
const place = (version: number) => routerPlace(version, "consolidated");

function kindOf(mapper: unknown): string | undefined {
  return mapper instanceof FeatureMapper ? mapper.expansion.kind : undefined;
}

/** Teaches a class in a store that was opened anew. @returns the router, and the rows that were counted for it */
async function teachAnew(folder: string) {
  using expand = vi.spyOn(FeatureMapper.prototype, "expand");
  await using store = await openStore(folder, { background: false });
  await store.learnClass("cc", ["c train number 1 c", "c train number 2 c"]);
  let counted = 0;
  for (const [i, [, rows]] of expand.mock.calls.entries())
    counted += kindOf(expand.mock.contexts[i]) === "rounded" ? rows.rows : 0;
  return { router: await readFile(join(folder, place(3), "router.safetensors")), counted };
}

test("a new process counts what is new, and where nothing is kept everything, to the same bits", async () => {
  const { open, at } = await workshop();
  const names = ["kept", "missing", "damaged"] as const;
  for (const name of names) {
    await using store = await open(name, kernel);
    await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
  }
  await rm(join(at("missing"), place(2), totalsFile));
  const path = join(at("damaged"), place(2), totalsFile);
  const bytes = await readFile(path);
  bytes[bytes.length - 3]! ^= 1;
  await writeFile(path, bytes);
  const [kept, missing, damaged] = [
    await teachAnew(at("kept")),
    await teachAnew(at("missing")),
    await teachAnew(at("damaged")),
  ];
  expect(kept.router).toEqual(missing.router);
  expect(damaged.router).toEqual(missing.router);
  // Rows that calibrate are taken away each time.
  expect(kept.counted).toBeLessThan(missing.counted / 2);
  expect(damaged.counted).toBe(missing.counted);
});
