// Dimensions: L layers, D width.

import { readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import { TrunkCache, TrunkMemory, type Trunks } from "../../../src/continual/passes/trunkCache.ts";
import { TaskTrainer } from "../../../src/continual/taskTypes/taskTrainer.ts";
import type { LearnedTask, Logits, TaskOutputs } from "../../../src/continual/types.ts";
import { float32, type HostTensor } from "../../../src/core/tensor.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { countTrunkLayers, type ModelStructure } from "../../../src/train/graphs.ts";
import { sentenceTargets } from "../../../src/train/trainer.ts";
import {
  all,
  drawTasks,
  encodings,
  expectClose,
  families,
  structureOf,
  top,
} from "../../support/drawnTasks.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { plainTraining, TinyModels } from "../../support/openedModels.ts";

let models: TinyModels;
let folder: string;
beforeAll(async () => {
  models = await TinyModels.write(families);
});
beforeEach(async () => {
  folder = await temporaryFolder();
});

interface Opened {
  readonly model: AdaptedBackbone;
  /** Names of the outputs of every graph that was compiled. */
  readonly compiled: string[];
}

function open(structure: ModelStructure, trunkCache?: Trunks): Opened {
  const compiled: string[] = [];
  const runtime: Runtime = {
    name: nodeRuntime.name,
    compile: (graph, options) => {
      compiled.push([...graph.outputs.keys()].join());
      return nodeRuntime.compile(graph, options);
    },
  };
  const family = families.find((name) => models.of(name).backbone === structure.backbone);
  const { tokenizer } = models.of(family ?? "bert");
  const model = new AdaptedBackbone({
    structure,
    tokenizer,
    runtime,
    maxLength: 30,
    threads: 1,
    ...(trunkCache && { trunkCache }),
  });
  return { model, compiled };
}

const cache = (backboneHash = "a", budgetBytes = 2 ** 20) =>
  new TrunkCache({ backboneHash, folder, budgetBytes });

function tensorOf({ logits, features }: TaskOutputs): HostTensor {
  return float32([...logits.values, ...features.values], [logits.values.length + features.values.length]);
}

describe("how many layers are shared", () => {
  test.each([
    { spec: top, shared: 2 },
    { spec: { ...all, layers: [1, 2] }, shared: 1 },
    { spec: all, shared: 0 },
    { spec: { ...top, bias: "all" }, shared: 0 },
    { spec: { ...all, targetModules: ["layer.2.output.dense"] }, shared: 2 },
  ] as const)("$spec.layers, $spec.targetModules, $spec.bias: $shared", ({ spec, shared }) => {
    expect(countTrunkLayers(structureOf(models, "bert", spec))).toBe(shared);
  });

  test("a pass that shares them costs (L - m)/L + T·m/L", async () => {
    await using model = open(structureOf(models, "bert", top)).model;
    expect([0, 1, 2, 4].map((tasks) => model.passesOf(tasks))).toEqual([0, 1, 4 / 3, 2]);
    await using whole = open(structureOf(models, "bert", all)).model;
    expect([0, 1, 15].map((tasks) => whole.passesOf(tasks))).toEqual([0, 1, 15]);
  });

  test("a layer that nothing is adapted in is told", () => {
    const build = () => countTrunkLayers(structureOf(models, "bert", { ...all, layers: [7] }));
    expect(build).toThrow(/matches nothing in the layers 7/);
  });
});

describe.each(families)("%s: a shared trunk changes nothing", (family) => {
  test("at sentence level, computed with each batch or kept on the disk", async () => {
    const structure = structureOf(models, family, top);
    const tasks = drawTasks(structure);
    await using plain = open(structure).model;
    const expected: HostTensor[] = [];
    for (const task of tasks) expected.push(tensorOf(await plain.outputs(task, encodings)));
    expectClose((await plain.outputsOfTasks(tasks, encodings)).map(tensorOf), expected);
    await using kept = open(structure, cache()).model;
    expectClose((await kept.outputsOfTasks(tasks, encodings)).map(tensorOf), expected);
    expectClose(
      [tensorOf(await kept.outputs(tasks[0] ?? expect.unreachable(), encodings))],
      expected.slice(0, 1),
    );
  });
});

test("at word level every token's logits are the same", async () => {
  const structure = structureOf(models, "bert", top, "word");
  const tasks = drawTasks(structure);
  const flat = (logits: readonly Logits[]) => logits.map(({ values }) => float32(values, [values.length]));
  await using plain = open(structure).model;
  await using kept = open(structure, cache()).model;
  const expected: HostTensor[] = [];
  for (const task of tasks) expected.push(...flat(await plain.tokenLogits(task, encodings)));
  for (const model of [plain, kept])
    expectClose((await model.tokenLogitsOfTasks(tasks, encodings)).flatMap(flat), expected);
});

const training = { ...plainTraining, epochs: 2, learningRate: 5e-3, headLearningRate: 1e-2 };

async function train(model: AdaptedBackbone): Promise<LearnedTask> {
  await using trainer = new TaskTrainer(model, training, 3);
  const slots = encodings.map((_, i) => i % 2);
  const fit = trainer.fit({
    name: "one",
    labels: ["a", "b"],
    encodings,
    targets: sentenceTargets(slots),
    describe: String,
  });
  for (;;) {
    const next = await fit.next();
    if (next.done) return next.value.learned;
  }
}

describe("training on a kept trunk", () => {
  test("ends where training through all layers ends", async () => {
    const structure = structureOf(models, "bert", top);
    const plain = open(structure);
    const kept = open(structure, cache());
    await using plainModel = plain.model;
    await using keptModel = kept.model;
    const expected = await train(plainModel);
    const actual = await train(keptModel);
    expect([...actual.adapter.keys()]).toEqual([...expected.adapter.keys()]);
    expect([...actual.adapter.keys()].every((name) => name.startsWith("encoder.layer.2."))).toBe(true);
    expectClose([...actual.adapter.values()], [...expected.adapter.values()]);
    expectClose([...actual.head.values()], [...expected.head.values()]);
    expect(plain.compiled).not.toContain("state");
    expect(kept.compiled).toContain("state");
  });

  test("computes it once for all epochs, tasks and runs", async () => {
    const structure = structureOf(models, "bert", top);
    const [first, second] = [open(structure, cache()), open(structure, cache())];
    await using firstModel = first.model;
    await using secondModel = second.model;
    const learned = await train(firstModel);
    const again = await train(secondModel);
    expect(await readdir(folder)).toHaveLength(1);
    expect(second.compiled).not.toContain("state");
    expect(again.adapter).toEqual(learned.adapter);
  });
});

describe("what is kept on the disk", () => {
  async function keep(backboneHash = "a", texts = encodings, budgetBytes?: number): Promise<boolean> {
    const { model, compiled } = open(structureOf(models, "bert", top), cache(backboneHash, budgetBytes));
    await using opened = model;
    await opened.trunkRows(texts);
    return compiled.includes("state");
  }
  const onlyFile = async () => join(folder, (await readdir(folder))[0] ?? "");

  test("belongs to these texts and this backbone", async () => {
    expect(await keep()).toBe(true);
    expect(await keep()).toBe(false);
    expect(await keep("b")).toBe(true);
    expect(await keep("a", encodings.slice(1))).toBe(true);
    expect(await keep("a", encodings.toReversed())).toBe(true);
    expect(await readdir(folder)).toHaveLength(4);
  });

  test("is computed anew where a byte of it changed, or some are missing", async () => {
    await keep();
    const path = await onlyFile();
    const bytes = await readFile(path);
    const changed = Buffer.from(bytes);
    changed[100] = (changed[100] ?? 0) ^ 1;
    await writeFile(path, changed);
    expect(await keep()).toBe(true);
    expect(await readFile(path)).toEqual(bytes);
    await writeFile(path, bytes.subarray(0, 200));
    expect(await keep()).toBe(true);
  });

  test("makes room by what was not read for longest", async () => {
    await keep("a");
    const path = await onlyFile();
    const { size } = await stat(path);
    await utimes(path, new Date(1000), new Date(1000));
    await keep("b", encodings, 2.5 * size);
    expect(await keep("a", encodings, 2.5 * size)).toBe(false);
    await keep("c", encodings, 2.5 * size);
    expect(await readdir(folder)).toHaveLength(2);
    // "a" was read after "b" was written, so "b" went.
    expect(await keep("a", encodings, 2.5 * size)).toBe(false);
    expect(await keep("b", encodings, 2.5 * size)).toBe(true);
  });

  test("is nothing for a handful of texts, and a folder that is none costs only the work", async () => {
    expect(await keep("a", encodings.slice(0, 10))).toBe(false);
    expect(await readdir(folder)).toHaveLength(0);
    const blocked = join(folder, "file");
    await writeFile(blocked, "");
    const trunkCache = new TrunkCache({ backboneHash: "a", folder: blocked });
    await using model = open(structureOf(models, "bert", top), trunkCache).model;
    expect((await model.trunkRows(encodings))?.of(0)).toHaveLength(
      (encodings[0]?.ids.length ?? 0) * model.structure.backbone.width,
    );
  });

  test("in memory it is what it is on the disk, computed once for the same encodings, and leaves no file", async () => {
    const { model, compiled } = open(structureOf(models, "bert", top), new TrunkMemory());
    await using _ = model;
    const [first, second] = [await model.trunkRows(encodings), await model.trunkRows(encodings)];
    expect(second).toBe(first);
    expect(compiled).toEqual(["state"]);
    expect(await readdir(folder)).toHaveLength(0);
    await using other = open(structureOf(models, "bert", top), cache()).model;
    expect(first).toEqual(await other.trunkRows(encodings));
    expect(await model.trunkRows([...encodings])).not.toBe(first);
    expect(await model.trunkRows(encodings.slice(0, 10))).toBeUndefined();
  });
});
