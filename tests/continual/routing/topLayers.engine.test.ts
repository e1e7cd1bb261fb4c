/** Routed answers where adapters sit in the uppermost layers alone: a second pass goes on from the first one's trunk. */

import { beforeAll, describe, expect, test } from "vitest";
import type { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import { TrunkCache } from "../../../src/continual/passes/trunkCache.ts";
import { TrunkRows, twoPassParts } from "../../../src/continual/passes/trunkRows.ts";
import {
  decide,
  type RoutedAnswer,
  type Routing,
  route,
} from "../../../src/continual/routing/routedPrediction.ts";
import { askingWordHeads } from "../../../src/continual/routing/routedWords.ts";
import { readWordRows } from "../../../src/continual/statistics/wordStatistics.ts";
import type { FeatureRows, LearnedTask, Logits } from "../../../src/continual/types.ts";
import { softmax } from "../../../src/core/softmax.ts";
import { float32, type HostTensor } from "../../../src/core/tensor.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { TRUNK_STATE } from "../../../src/train/graphs.ts";
import { drawTasks, encodings, expectClose, families, structureOf, top } from "../../support/drawnTasks.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { randomEncodings, TinyModels } from "../../support/openedModels.ts";
import { tolerances } from "../../support/tolerances.ts";

let models: TinyModels;
beforeAll(async () => {
  models = await TinyModels.write(families);
});

/** Every text twice, by two tasks, in another order than theirs. */
const rows = [...encodings.keys()].flatMap((i) => [i, encodings.length - 1 - i]);
const asked = rows.map((row) => encodings[row] ?? expect.unreachable());
const taskOf = Int32Array.from(rows, (_, i) => i % 3);

const lengths = encodings.map(({ ids }) => ids.length);
const roomFor = ({ trunkLayers, structure }: AdaptedBackbone) =>
  TrunkRows.allocate(lengths, trunkLayers, structure.backbone.width);

const flat = (all: readonly Float32Array[]): HostTensor => {
  const values = all.flatMap((one) => [...one]);
  return float32(values, [values.length]);
};

/** Routing layers above the trunk, at it, and all below it; words' through the first task's adapter too. */
const reads = [
  { layers: [0, 2, 3], through: "the frozen backbone" },
  { layers: [3, 1], through: "the first task's adapter" },
  { layers: [1], through: "the frozen backbone" },
] as const;

describe.each(families)("%s", (family) => {
  test.each(reads)(
    "a mixed pass above what a first pass of layers $layers through $through left gives what a whole one gives",
    async ({ layers, through }) => {
      const structure = structureOf(models, family, top);
      const tasks = drawTasks(structure);
      await using model = models.open(family, structure);
      const trunk = roomFor(model);
      const read = async (room?: TrunkRows) =>
        through === "the frozen backbone"
          ? [await model.routingFeatures(encodings, { layers }, undefined, room)]
          : await model.routingTokenFeatures(encodings, { layers }, undefined, tasks[0], room);
      const tensors = (texts: readonly FeatureRows[]) => texts.map(({ values }) => flat([values]));
      expectClose(tensors(await read(trunk)), tensors(await read()));
      const whole = await model.mixedLogits(tasks, taskOf, asked);
      const above = await model.mixedLogits(tasks, taskOf, asked, undefined, trunk.pick(rows));
      expectClose(
        above.map((row) => flat([row])),
        whole.map((row) => flat([row])),
      );
    },
  );
});

test.each(families)("%s: at word level every token's logits are the same", async (family) => {
  const structure = structureOf(models, family, top, "word");
  const tasks = drawTasks(structure);
  await using model = models.open(family, structure);
  // More sentences than have their tokens' features in memory at once, of a word each.
  const sentences = [...encodings, ...encodings].map((encoding) => ({
    ...encoding,
    firstTokens: [1],
    end: 2,
    cutWords: 0,
  }));
  const [part] = model.twoPassParts(sentences, 1);
  const features = { layers: [0, 3], featureAdapter: tasks[0] ?? expect.unreachable() };
  await readWordRows(model, sentences, features, undefined, part?.trunk);
  const routed = tasks.map((learned) => ({ learned }));
  const ask = (trunk?: TrunkRows) => askingWordHeads(model, routed, sentences, undefined, trunk);
  const texts = [...sentences.keys()].reverse();
  const of = texts.map((text) => text % 3);
  const tensors = (logits: readonly Logits[]) => logits.map(({ values }) => flat([values]));
  expect(part?.trunk?.layers).toBe(2);
  expectClose(tensors(await ask(part?.trunk)(of, texts)), tensors(await ask()(of, texts)));
});

test("what was kept on the disk serves a mixed pass too", async () => {
  const folder = await temporaryFolder();
  const structure = structureOf(models, "bert", top);
  const tasks = drawTasks(structure);
  const trunkCache = new TrunkCache({ backboneHash: "a", folder });
  await using model = models.open("bert", structure, { trunkCache });
  const trunk = (await model.trunkRows(encodings)) ?? expect.unreachable();
  const above = await model.mixedLogits(tasks, taskOf, asked, undefined, trunk.pick(rows));
  expectClose([flat(above)], [flat(await model.mixedLogits(tasks, taskOf, asked))]);
});

describe("a routed answer", () => {
  const spec = { layers: [0, 3] };

  /** Says something of every class, and not the same of every text. */
  function routingAmong(tasks: readonly LearnedTask[], topTasks = 2): Routing {
    const labels = tasks.flatMap((task) => task.labels);
    const logPosterior = ({ width, values }: FeatureRows, row: number) =>
      softmax(labels.map((_, c) => 8 * (values[row * width + c] ?? 0))).map(Math.log);
    const assess = async (features: FeatureRows) => {
      const each = Array.from({ length: features.rows }, (_, row) => logPosterior(features, row));
      return {
        posterior: { rows: features.rows, classes: labels.length, values: Float64Array.from(each.flat()) },
        unknown: new Float64Array(features.rows),
      };
    };
    const fusion = { confident: Number.POSITIVE_INFINITY, weight: 1, topTasks };
    return { router: { labels, assess }, features: spec, fusion };
  }

  const routed = (tasks: readonly LearnedTask[]) => tasks.map((task) => ({ ...task, learned: task }));

  function expectSame(actual: readonly RoutedAnswer[], expected: readonly RoutedAnswer[]): void {
    expect(actual.length).toBe(expected.length);
    for (const [i, { top: ranked, score, ...said }] of actual.entries()) {
      const { top: topBefore, score: before, ...saidBefore } = expected[i] ?? expect.unreachable();
      expect(said).toEqual(saidBefore);
      expect(Math.abs(score - before)).toBeLessThan(tolerances.float32);
      expect(ranked.map(({ label }) => label)).toEqual(topBefore.map(({ label }) => label));
    }
  }

  /** What a graph is fed and gives, of every graph that was compiled. */
  function watching(): { readonly runtime: Runtime; readonly compiled: string[] } {
    const compiled: string[] = [];
    const runtime: Runtime = {
      name: nodeRuntime.name,
      compile: (graph, options) => {
        const fed = graph.inputs.map((node) => node.attributes.name);
        const given = ["task_of", "input_ids", TRUNK_STATE].filter((name) => fed.includes(name));
        compiled.push(`${given.join()} > ${[...graph.outputs.keys()].join()}`);
        return nodeRuntime.compile(graph, options);
      },
    };
    return { runtime, compiled };
  }

  test("is that of whole passes, costs 1 + k·m/L, and nothing below the adapters runs twice", async () => {
    const structure = structureOf(models, "bert", top);
    const tasks = drawTasks(structure);
    const { runtime, compiled } = watching();
    await using model = models.open("bert", structure, { runtime });
    const answers = await route(model, routed(tasks), routingAmong(tasks), encodings);
    expect(compiled).toEqual(["input_ids > features,state", `task_of,${TRUNK_STATE} > logits`]);
    expect(new Set(answers.map(({ passes }) => passes))).toEqual(new Set([1 + 2 / 3]));
    expect(new Set(answers.map(({ label }) => label)).size).toBeGreaterThan(2);
    const features = await model.routingFeatures(encodings, spec);
    const routing = routingAmong(tasks);
    const { posterior } = await routing.router.assess(features);
    const expected = await decide(posterior, routed(tasks), routing, async (of, texts) => {
      const all: Float32Array[] = [];
      for (const [i, text] of texts.entries()) {
        const task = tasks[of[i] ?? -1] ?? expect.unreachable();
        all.push((await model.logits(task, encodings.slice(text, text + 1))).values);
      }
      return all;
    });
    expectSame(
      answers,
      expected.map(({ asked: heads, ...found }) => ({ ...found, unknown: 0, passes: 1 + heads / 3 })),
    );
  });

  test("is the same alone, in small parts, and backwards", async () => {
    const structure = structureOf(models, "bert", top);
    const tasks = drawTasks(structure);
    const routing = routingAmong(tasks);
    await using model = models.open("bert", structure);
    // A part holds about 30 tokens.
    await using inParts = models.open("bert", structure, { twoPassBytes: 30 * structure.backbone.width * 4 });
    const answers = await route(model, routed(tasks), routing, encodings);
    expectSame(await route(inParts, routed(tasks), routing, encodings), answers);
    expectSame((await route(model, routed(tasks), routing, encodings.toReversed())).toReversed(), answers);
    for (const [i, text] of encodings.entries())
      expectSame(await route(model, routed(tasks), routing, [text]), answers.slice(i, i + 1));
  });

  test("without a second pass costs one, and keeps no trunk", async () => {
    const structure = structureOf(models, "bert", top);
    const tasks = drawTasks(structure);
    const { runtime, compiled } = watching();
    await using model = models.open("bert", structure, { runtime });
    const answers = await route(model, routed(tasks), routingAmong(tasks, 0), encodings);
    expect(compiled).toEqual(["input_ids > features"]);
    expect(answers.every(({ passes }) => passes === 1)).toBe(true);
    expect(await route(model, routed(tasks), routingAmong(tasks), [])).toEqual([]);
  });
});

test("parts hold the texts in their order, and no more tokens than fit but for a text alone", () => {
  const texts = randomEncodings([4, 3, 3, 12, 1, 9, 1]);
  const parts = [...twoPassParts(texts, 2, 5, 10 * 5 * 4)];
  expect(parts.map(({ encodings: own }) => own.map(({ ids }) => ids.length))).toEqual([
    [4, 3, 3],
    [12],
    [1, 9],
    [1],
  ]);
  expect(parts.flatMap(({ encodings: own }) => own)).toEqual(texts);
  for (const { encodings: own, trunk } of parts)
    expect(own.map((_, i) => trunk?.of(i).length)).toEqual(own.map(({ ids }) => ids.length * 5));
});
