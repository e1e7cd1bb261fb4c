/**
 * Many predictions and changes in one process: memory, open files and disk stay where they were after the first part of it.
 * ACCRETE_ATTACK=1 makes 3,000 predictions and 200 changes.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { heardOf } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyModel } from "../support/tinyModels.ts";

const full = process.env.ACCRETE_ATTACK === "1";
const [predictions, changes] = full ? [3000, 200] : [600, 60];
const program = join(packageRoot, "tests/reliability/programs/soak.ts");

interface Sample {
  readonly rss: number;
  readonly heap: number;
  readonly files: number;
  readonly disk: number;
}

/** The middle one of a part of the samples. */
function middle(samples: readonly Sample[], of: keyof Sample): number {
  const values = samples.map((sample) => sample[of]).sort((a, b) => a - b);
  return values[values.length >> 1] ?? Number.NaN;
}

test(`${predictions} predictions and ${changes} changes leave memory, files and disk flat`, async () => {
  const root = await temporaryFolder();
  await writeTinyModel(join(root, "model"));
  const args = [program, join(root, "store"), join(root, "model"), String(predictions), String(changes)];
  const { out, err, exitCode } = await heardOf(spawn(process.execPath, ["--import", "tsx", ...args]));
  expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
  const samples: Sample[] = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(samples).toHaveLength(20);
  const [early, late] = [samples.slice(6, 12), samples.slice(-6)];
  const growth = (of: keyof Sample) => middle(late, of) / middle(early, of);
  const figures = Object.fromEntries(
    (["rss", "heap", "files", "disk"] as const).map((of) => [of, [middle(early, of), middle(late, of)]]),
  );
  if (full) console.log(JSON.stringify(figures));
  expect(middle(late, "files") - middle(early, "files"), JSON.stringify(figures)).toBeLessThanOrEqual(1);
  expect(growth("heap"), JSON.stringify(figures)).toBeLessThan(1.1);
  expect(growth("rss"), JSON.stringify(figures)).toBeLessThan(1.15);
  expect(growth("disk"), JSON.stringify(figures)).toBeLessThan(1.1);
});
