/**
 * Models as transformers' own configuration classes describe them, cut to two layers: they take one step and are evaluated. The
 * larger ones would take minutes and gigabytes and are made narrower; ACCRETE_LARGE_MODELS names the most parameters that a
 * model may have.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createLearner } from "../../src/index.ts";
import { architectures } from "../../src/nn/families.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { divisorWithin, writeDefaultModel } from "../support/tinyModels.ts";

const root = folderOfTestFile("defaults");
const most = Number(process.env.ACCRETE_LARGE_MODELS ?? 1.6e7);
const rows = ["aa", "bb"].flatMap((label) =>
  Array.from({ length: 3 }, (_, i) => ({ text: `${label} number ${i} ${label}`.repeat(i + 1), label })),
);

describe.each(architectures)("%s", (family) => {
  // What has to be narrower anyway need not be that large.
  const divisor = divisorWithin(family, divisorWithin(family, most) === 1 ? most : most / 4);
  const narrower = divisor === 1 ? "" : `, its widths divided by ${divisor}`;

  test(`a LoRA step and an evaluation${narrower}`, async () => {
    const backbone = join(root, family);
    await writeDefaultModel(family, backbone, divisor);
    const training = { epochs: 1, minSteps: 0, batchSize: 6, maxLength: 32 };
    const learner = await createLearner({ backbone, training, threads: 2 });
    const learned = await learner.learn({ name: "first", train: rows, validation: rows });
    expect(Number.isFinite(learned.loss)).toBe(true);
    const { predictions } = await learner.evaluate(rows, { exact: true });
    expect(predictions).toHaveLength(rows.length);
    await learner[Symbol.asyncDispose]();
    await rm(backbone, { recursive: true });
  });
});
