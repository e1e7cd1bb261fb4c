// Dimensions: B batch, D width of the feature, N tasks.
import { describe, expect, test, vi } from "vitest";
import { gradients } from "../../../src/autodiff/gradients.ts";
import {
  Selection,
  type SelectorInference,
  type SelectorKind,
} from "../../../src/continual/newlora/selection.ts";
import { SelectionRouting } from "../../../src/continual/newlora/selectionRouting.ts";
import { measureClasses, mixRows } from "../../../src/continual/newlora/selectorFrozen.ts";
import { SelectionNetwork } from "../../../src/continual/newlora/selectorNetwork.ts";
import {
  type ClassStatistics,
  countOutputs,
  decodeSelector,
  encodeSelector,
  growSelector,
  initSelector,
  type SelectorTensors,
} from "../../../src/continual/newlora/selectorState.ts";
import { TextClassification } from "../../../src/continual/taskTypes/textClassification.ts";
import { CheckpointError, GraphError } from "../../../src/core/errors.ts";
import { createRng } from "../../../src/core/random.ts";
import { float32, float64, type HostTensor } from "../../../src/core/tensor.ts";
import { createGraph } from "../../../src/graph/graph.ts";
import * as op from "../../../src/graph/ops.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../src/io/safetensors.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { referenceRuntime } from "../../../src/runtime/reference.ts";
import type { Tensors } from "../../../src/runtime/types.ts";
import {
  buildSelectorGraph,
  declareSelector,
  preferenceFeeds,
  preferenceLoss,
} from "../../../src/train/selector.ts";
import { plainTraining, TinyModels } from "../../support/openedModels.ts";
import { digits, relativeDifference, tolerances } from "../../support/tolerances.ts";

const width = 6;
const tasks = 3;
const rng = createRng(3);
const network = growSelector(initSelector(width, rng), tasks, rng);

function randomRows(rows: number, name = "rows") {
  const draw = rng.fork(name);
  return { rows, width, values: Float32Array.from({ length: rows * width }, () => draw.normal()) };
}

const { values } = randomRows(4);
const feature = float32(values, [4, width]);

describe("the selection network", () => {
  test("is Linear(D, D/2) → ReLU → Linear(D/2, N) → Sigmoid", async () => {
    const executable = await referenceRuntime.compile(buildSelectorGraph(width));
    const { weights } = await executable.run({ ...Object.fromEntries(network), feature });
    const at = (name: string, i: number) => network.get(`selector.${name}`)?.data[i] ?? Number.NaN;
    const expected = Array.from({ length: 4 * tasks }, (_, i) => {
      const [row, task] = [Math.floor(i / tasks), i % tasks];
      let sum = at("2.bias", task);
      for (let h = 0; h < 3; h++) {
        let inner = at("0.bias", h);
        for (let d = 0; d < width; d++)
          inner += at("0.weight", h * width + d) * (values[row * width + d] ?? 0);
        sum += at("2.weight", task * 3 + h) * Math.max(0, inner);
      }
      return 1 / (1 + Math.exp(-sum));
    });
    expect(relativeDifference(weights ?? feature, float64(expected, [4, tasks]))).toBeLessThanOrEqual(
      tolerances.float64,
    );
  });

  test("has a preference loss that is the mean squared error to the one-hot, with its gradients", async () => {
    const { inputs, weights } = declareSelector(width);
    const input = op.input("feature", "float32", ["B", width]);
    const said = weights(input);
    const loss = preferenceLoss(said);
    const wrt = new Map([...inputs, ["feature", input] as const]);
    const outputs = gradients(loss, [...wrt.values()]).map(
      (value, i) => [[...wrt.keys()][i], value] as const,
    );
    const executable = await referenceRuntime.compile(
      createGraph({ loss, said, ...Object.fromEntries(outputs) }),
    );
    const owners = [0, 2, 1, 2];
    const feeds: Tensors = { ...Object.fromEntries(network), feature, ...preferenceFeeds(owners, tasks) };
    const results = await executable.run(feeds);
    const squares = Array.from(results.said?.data ?? [], Number).map((value, i) => {
      const wanted = owners[Math.floor(i / tasks)] === i % tasks ? 1 : 0;
      return (value - wanted) ** 2;
    });
    const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length;
    expect(relativeDifference(results.loss ?? feature, float64([mean], []))).toBeLessThanOrEqual(
      tolerances.goldenFloat64,
    );
    for (const name of wrt.keys()) {
      const point = feeds[name] ?? feature;
      const numeric = await centralDifferences((moved) => executable.run({ ...feeds, [name]: moved }), point);
      const difference = relativeDifference(results[name] ?? feature, numeric);
      expect(difference, name).toBeLessThanOrEqual(tolerances.gradient);
    }
  });

  test("refuses an owner without an output", () => {
    expect(() => preferenceFeeds([0, 3], 3)).toThrow(GraphError);
  });

  test("grows output by output into what it would have been from the beginning", () => {
    let growing = initSelector(width, rng);
    for (let n = 1; n <= tasks; n++) growing = growSelector(growing, n, rng);
    expect(growing).toEqual(network);
    expect(countOutputs(growSelector(network, 2, rng))).toBe(tasks);
  });

  test("grows without touching what it grew from", () => {
    const grown = growSelector(network, tasks + 1, rng);
    for (const { data } of grown.values()) data.fill(7);
    expect(network.get("selector.0.bias")?.data).not.toContain(7);
  });
});

async function centralDifferences(
  run: (moved: HostTensor) => Promise<Tensors>,
  point: HostTensor,
): Promise<HostTensor> {
  const step = 1e-5;
  const at = async (i: number, by: number) => {
    const moved = float64(Array.from(point.data, Number), point.dims);
    moved.data[i] = (moved.data[i] ?? 0) + by;
    return Number((await run(moved)).loss?.data[0]);
  };
  const differences: number[] = [];
  for (let i = 0; i < point.data.length; i++)
    differences.push(((await at(i, step)) - (await at(i, -step))) / (2 * step));
  return float64(differences, point.dims);
}

const statistics: readonly ClassStatistics[] = [
  {
    task: 0,
    count: 40,
    mean: Float64Array.of(3, 0, 0, 0, 0, 0),
    variance: new Float64Array(width).fill(0.01),
  },
  {
    task: 0,
    count: 1,
    mean: Float64Array.of(0, 3, 0, 0, 0, 0),
    variance: new Float64Array(width),
  },
];

describe("its file", () => {
  test("gives back what was written", () => {
    const state = { tensors: network, statistics };
    expect(decodeSelector(encodeSelector(state), width, "file")).toEqual(state);
    const bare = { tensors: network, statistics: [] };
    expect(decodeSelector(encodeSelector(bare), width, "file")).toEqual(bare);
  });

  test("is refused for another backbone, in another version, or with a tensor missing", () => {
    const bytes = encodeSelector({ tensors: network, statistics });
    expect(() => decodeSelector(bytes, width + 2, "file")).toThrow(
      /file: expected 0\.weight of shape \(4, 8\)/,
    );
    const { tensors } = decodeSafetensors(bytes, "file");
    const rewritten = (without: string, version: string) =>
      encodeSafetensors(new Map([...tensors].filter(([name]) => name !== without)), {
        accrete_selector: version,
      });
    expect(() => decodeSelector(rewritten("", "2"), width, "file")).toThrow(CheckpointError);
    expect(() => decodeSelector(rewritten("2.weight", "1"), width, "file")).toThrow(/2\.weight.*got none/);
    expect(() => decodeSelector(rewritten("classes.count", "1"), width, "file")).toThrow(/classes\.count/);
  });
});

describe("pseudo-features", () => {
  const own = { features: randomRows(10, "own"), owners: new Array<number>(10).fill(1), classes: 2 };

  test("are as many a class as the task has rows a class, around the class's mean", () => {
    const { features, owners } = mixRows(own, statistics, false, rng.fork("mix"));
    expect(features.rows).toBe(10 + 2 * 5);
    expect(owners.filter((owner) => owner === 0)).toHaveLength(10);
    const drawn = [...owners.keys()]
      .filter((row) => owners[row] === 0)
      .map((row) => [...features.values.subarray(row * width, (row + 1) * width)]);
    // Of the class with one example too, whose own variance is 0: that of the other is pooled in.
    for (const row of drawn) {
      const [first = 0, second = 0] = row;
      const largest = Math.max(first, second);
      expect(Math.abs(largest - 3)).toBeLessThan(0.5);
      expect(largest).not.toBe(3);
    }
  });

  test("have length 1 where features do", () => {
    const { features, owners } = mixRows(own, statistics, true, rng.fork("mix"));
    for (const [row, owner] of owners.entries()) {
      if (owner !== 0) continue;
      const squares = features.values
        .subarray(row * width, (row + 1) * width)
        .reduce((sum, value) => sum + value ** 2, 0);
      expect(squares).toBeCloseTo(1, digits.float32);
    }
  });

  test("follow from the generator, and every own row is there once", () => {
    const again = () => mixRows(own, statistics, false, rng.fork("mix"));
    expect(again()).toEqual(again());
    expect(mixRows(own, statistics, false, rng.fork("other"))).not.toEqual(again());
    const { features, owners } = again();
    const rows = [...owners.keys()].filter((row) => owners[row] === 1);
    const firsts = rows.map((row) => features.values[row * width]);
    expect(firsts.sort()).toEqual(
      Array.from({ length: 10 }, (_, row) => own.features.values[row * width]).sort(),
    );
  });

  test("come from each class's mean and variance", () => {
    const features = { rows: 3, width: 1, values: Float32Array.of(1, 5, 3) };
    expect(measureClasses(features, [1, 0, 1], 4)).toEqual([
      { task: 4, count: 1, mean: Float64Array.of(5), variance: Float64Array.of(0) },
      { task: 4, count: 2, mean: Float64Array.of(2), variance: Float64Array.of(1) },
    ]);
  });
});

const training = { ...plainTraining, batchSize: 1, headLearningRate: 1e-2, schedule: "linear" } as const;

test("on frozen features it is the same whatever number of tasks is to come; as written it may know that", async () => {
  const models = await TinyModels.write(["bert"]);
  const labels = ["a", "b"];
  const texts = labels.map((label) => ({ text: `text of ${label}`, label }));
  const learn = async (kind: SelectorKind, foreseen: number) => {
    await using model = models.open("bert");
    await using selection = new Selection(model, {
      kind,
      tasks: foreseen,
      training,
      seed: 1,
    });
    const encoded = { items: texts, ...model.encode(texts) };
    let state = selection.initial();
    for (const index of [0, 1]) {
      const task = { name: `task-${index}`, labels, train: texts, validation: [] };
      state = await selection.finish(selection.begin(state, index), task, encoded);
    }
    return encodeSelector(state);
  };
  expect(await learn("newlora-frozen", 9)).toEqual(await learn("newlora-frozen", 2));
  expect(await learn("newlora", 9)).not.toEqual(await learn("newlora", 2));
});

test("on separable features it learns whose they are, the same bytes each time", async () => {
  const features = randomRows(60, "separable");
  const owners = Array.from({ length: 60 }, (_, row) => row % 3);
  for (const [row, owner] of owners.entries()) features.values[row * width + owner]! += 8;
  const train = async (): Promise<{ tensors: SelectorTensors; right: number }> => {
    await using net = new SelectionNetwork((graph) => nodeRuntime.compile(graph, { threads: 1 }), width);
    const tensors = growSelector(network, tasks, rng);
    for (let round = 0; round < 5; round++)
      await net.fit(tensors, () => ({ features, owners }), training, rng.fork(round));
    const weights = await net.weigh(tensors, features);
    const right = owners.filter((owner, row) => {
      const own = weights.values.subarray(row * tasks, (row + 1) * tasks);
      return own[owner] === Math.max(...own);
    });
    return { tensors, right: right.length };
  };
  const [first, second] = [await train(), await train()];
  expect(first.right).toBeGreaterThan(57);
  expect(second.tensors).toEqual(first.tensors);
});

describe("a routed answer", () => {
  const tasks = [
    ["a", "b"],
    ["c", "d", "e"],
  ].map((labels, i) => ({
    name: `task-${i}`,
    labels,
    adapter: new Map(),
    head: new Map(),
  }));
  const perTask = [Float32Array.of(0, 3), Float32Array.of(9, 0, 0)];

  /** The answer to a text whose logits and weights are known. */
  async function answer(weights: readonly number[], inference: SelectorInference) {
    const models = await TinyModels.write(["bert"]);
    await using model = models.open("bert");
    await using selection = new Selection(model, { kind: "newlora", training, seed: 1 });
    vi.spyOn(selection, "weigh").mockResolvedValue({
      rows: 1,
      width: 2,
      values: Float32Array.from(weights),
    });
    const type = new TextClassification(model, models.of("bert"), { keepFeatures: true });
    const encoded = type.encode([{ text: "a text" }], { keep: true });
    tasks.forEach((task, i) => {
      const values = perTask[i] ?? expect.unreachable();
      encoded.kept?.logits.set(task, { rows: 1, classes: values.length, values });
    });
    const routing = new SelectionRouting(type, selection, inference);
    const [item = expect.unreachable()] = await routing.route(selection.initial(), tasks, encoded, {
      top: 2,
    });
    return item;
  }

  const likely = Math.exp(3) / (1 + Math.exp(3));
  const likelier = Math.exp(9) / (2 + Math.exp(9));

  test("soft: the likeliest label once each head's probabilities count by its task's weight", async () => {
    // 0.9 · 0.953 > 0.8 · 1.000
    expect(await answer([0.9, 0.8], "soft")).toMatchObject({
      task: 0,
      answer: {
        task: "task-0",
        label: "b",
        score: expect.closeTo((0.9 * likely) / 1.7, 6),
        top: [{ label: "b" }, { label: "c", score: expect.closeTo((0.8 * likelier) / 1.7, 6) }],
        passes: 2,
      },
    });
    // 0.85 · 0.953 < 0.84 · 1.000, though the network prefers the first task
    expect(await answer([0.85, 0.84], "soft")).toMatchObject({
      task: 0,
      answer: { task: "task-1", label: "c" },
    });
  });

  test("hard: the heaviest task's own answer", async () => {
    expect(await answer([0.85, 0.84], "hard")).toMatchObject({
      task: 0,
      answer: { task: "task-0", label: "b", score: expect.closeTo(likely, 6), passes: 2 },
    });
  });
});
