// Dimensions: F width of a feature, C classes.
/** Texts in windows, against the windows read one by one and pooled here. */
import { beforeAll, describe, expect, it } from "vitest";
import type { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import type { LearnedTask } from "../../../src/continual/types.ts";
import { float32 } from "../../../src/core/tensor.ts";
import { createGraph } from "../../../src/graph/graph.ts";
import * as op from "../../../src/graph/ops.ts";
import { defaultHeads, type HeadKind, headKinds, heads } from "../../../src/nn/heads.ts";
import type { ModelStructure } from "../../../src/train/graphs.ts";
import { drawTasks, structureOf, top } from "../../support/drawnTasks.ts";
import { TinyModels } from "../../support/openedModels.ts";
import { expectClose, tolerances } from "../../support/tolerances.ts";

const families = ["bert", "gpt2"] as const;
const long = "one two three four five six seven eight nine ten";
/** Of one window, of several, and of one again. */
const texts = ["one two", `${long} ${long} and more of it`, long, "ten"].map((text) => ({ text }));
const maxLength = 9;

let models: TinyModels;
beforeAll(async () => {
  models = await TinyModels.write(families);
});

function structure(family: (typeof families)[number], changes: Partial<ModelStructure> = {}): ModelStructure {
  return { ...structureOf(models, family, top), ...changes };
}

function unit(vector: readonly number[]): number[] {
  const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / norm);
}

/** Σ tokens·row / Σ tokens of each text, the tokens of a window counted without special ones. */
function meanOf(rows: readonly (readonly number[])[], tokens: readonly number[]): number[] {
  const all = tokens.reduce((sum, count) => sum + count, 0);
  return (rows[0] ?? []).map((_, f) =>
    rows.reduce((sum, row, i) => sum + ((tokens[i] ?? 0) / all) * (row[f] ?? 0), 0),
  );
}

/** Every text's vector from its windows, each read in a call of its own. */
async function pooled(
  model: AdaptedBackbone,
  read: (encodings: Parameters<AdaptedBackbone["frozenFeatures"]>[0]) => Promise<Float32Array>,
): Promise<number[][]> {
  const { encodings } = model.encode(texts);
  const special = model.tokenizer.frame([]).ids.length;
  const vectors: number[][] = [];
  for (const { windows, ...alone } of encodings) {
    const parts = (windows ?? [alone]).map(({ ids, typeIds }) => ({ ids, typeIds, truncated: false }));
    const rows: number[][] = [];
    for (const part of parts) rows.push([...(await read([part]))]);
    vectors.push(
      meanOf(
        rows,
        parts.map(({ ids }) => ids.length - special),
      ),
    );
  }
  return vectors;
}

const asTensor = (rows: readonly (readonly number[])[]) =>
  float32(new Float32Array(rows.flat()), [rows.length, rows[0]?.length ?? 0]);

/** A head's logits of vectors. */
async function logitsOf(model: AdaptedBackbone, kind: HeadKind, { head }: LearnedTask, rows: number[][]) {
  const feature = asTensor(rows);
  const logits = heads[kind].logits(op.constant(feature), (name) => op.constant(head.get(name)!));
  await using executable = await model.compile(
    createGraph({ logits: op.mul(logits, op.input("one", "float32", [1])) }),
  );
  return (await executable.run({ one: float32([1], [1]) })).logits!;
}

describe.each(families)("%s", (family) => {
  it("has windows where a text is longer, and none elsewhere", async () => {
    await using model = models.open(family, structure(family), { maxLength, windows: true });
    const { encodings, truncated } = model.encode(texts);
    expect(encodings.map(({ windows = [] }) => windows.length)).toEqual([
      0,
      expect.any(Number),
      expect.any(Number),
      0,
    ]);
    expect(encodings[1]?.windows?.length).toBeGreaterThan(2);
    expect(truncated).toBe(0);
    await using cutting = models.open(family, structure(family), { maxLength });
    expect(cutting.encode(texts).truncated).toBe(2);
  });

  it.each([false, true])("vectors are the means of the windows', normalize: %s", async (normalize) => {
    const feature = { pooling: "mean", normalize } as const;
    await using model = models.open(family, structure(family, { feature }), { maxLength, windows: true });
    const expected = await pooled(model, async (one) => (await model.frozenFeatures(one)).values);
    const { values, width } = await model.frozenFeatures(model.encode(texts).encodings);
    const vectors = asTensor(normalize ? expected.map(unit) : expected);
    expectClose(float32(values, [texts.length, width]), vectors, tolerances.float32);
  });

  it("routing features are, layer by layer, of length 1", async () => {
    await using model = models.open(family, structure(family), { maxLength, windows: true });
    const spec = { layers: [0, 2, 3] };
    const expected = await pooled(model, async (one) => (await model.routingFeatures(one, spec)).values);
    const { values, width } = await model.routingFeatures(model.encode(texts).encodings, spec);
    const layers = expected.map((row) =>
      spec.layers.flatMap((_, i) => unit(row.slice((i * width) / 3, ((i + 1) * width) / 3))),
    );
    expectClose(float32(values, [texts.length, width]), asTensor(layers), tolerances.float32);
  });

  it.each(headKinds)("a head reads the mean: %s, by exact answers and in a mixed pass", async (kind) => {
    const built = structure(family, { head: defaultHeads[kind] });
    await using model = models.open(family, built, { maxLength, windows: true });
    const tasks = drawTasks(built);
    const { encodings } = model.encode(texts);
    const outputs = await model.outputsOfTasks(tasks, encodings);
    for (const [i, task] of tasks.entries()) {
      const expected = await pooled(model, async (one) => (await model.outputs(task, one)).features.values);
      const { features, logits } = outputs[i]!;
      expectClose(
        float32(features.values, [features.rows, features.width]),
        asTensor(expected),
        tolerances.float32,
      );
      const wanted = await logitsOf(model, kind, task, expected);
      expectClose(float32(logits.values, [logits.rows, logits.classes]), wanted, tolerances.float32);
    }
    const taskOf = Int32Array.from([1, 2, 0, 1]);
    const mixed = await model.mixedLogits(tasks, taskOf, encodings);
    for (const [text, own] of taskOf.entries()) {
      const { classes, values } = outputs[own]!.logits;
      const row = values.slice(text * classes, (text + 1) * classes);
      expectClose(float32(mixed[text]!, [classes]), float32(row, [classes]), tolerances.float32);
    }
  });

  it("short texts are read to the last bit as without windows", async () => {
    const short = texts.filter((_, i) => i % 3 === 0);
    await using model = models.open(family, structure(family), { maxLength, windows: true });
    await using cutting = models.open(family, structure(family), { maxLength });
    const [task] = drawTasks(structure(family));
    const read = async (each: AdaptedBackbone) => await each.outputs(task!, each.encode(short).encodings);
    expect(await read(model)).toEqual(await read(cutting));
  });
});
