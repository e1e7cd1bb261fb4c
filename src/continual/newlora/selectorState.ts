// Dimensions: D width of the feature, H hidden width, N outputs, C classes learned so far.
/** The selection network's values, and what is kept of earlier classes, in memory and on the disk. */
import { CheckpointError } from "../../core/errors.ts";
import type { Rng } from "../../core/random.ts";
import { asFloat32, float32, float64, type HostTensor, int64 } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../portable/safetensors.ts";
import { SELECTOR_PREFIX, selectorHidden } from "../../train/selector.ts";

/** The file beside a task's adapter that holds the network as it was after that task. */
export const selectorFile = "selector.safetensors";

const version = "1";

/** The network's parameters by graph input: `selector.0.weight` (H, D), `selector.2.weight` (N, H), and biases. */
export type SelectorTensors = ReadonlyMap<string, HostTensor<"float32">>;

/** What is kept of a class in place of its texts: a Gaussian with a diagonal covariance over frozen features. */
export interface ClassStatistics {
  /** The number of the task that the class belongs to. */
  readonly task: number;
  readonly count: number;
  /** (D) */
  readonly mean: Float64Array;
  /** (D), divided by the count. */
  readonly variance: Float64Array;
}

export interface SelectorState {
  readonly tensors: SelectorTensors;
  readonly statistics: readonly ClassStatistics[];
}

const parameter = (name: string) => SELECTOR_PREFIX + name;

/** U(±1/√fan-in), as torch's Linear begins. */
function draw(dims: readonly number[], fanIn: number, rng: Rng): HostTensor<"float32"> {
  const bound = 1 / Math.sqrt(fanIn);
  const length = dims.reduce((size, dim) => size * dim, 1);
  return float32(
    Float32Array.from({ length }, () => (2 * rng.uniform() - 1) * bound),
    dims,
  );
}

/** A network without outputs; {@link growSelector} gives it some. */
export function initSelector(width: number, rng: Rng): SelectorTensors {
  const hidden = selectorHidden(width);
  return new Map([
    [parameter("0.weight"), draw([hidden, width], width, rng.fork("0.weight"))],
    [parameter("0.bias"), draw([hidden], width, rng.fork("0.bias"))],
    [parameter("2.weight"), float32([], [0, hidden])],
    [parameter("2.bias"), float32([], [0])],
  ]);
}

/**
 * A copy with at least `outputs` outputs. An output's first values are a function of its number alone, so a network
 * that grows as tasks arrive gives each the beginning that one of known size would.
 * @param rng that of {@link initSelector}
 */
export function growSelector(tensors: SelectorTensors, outputs: number, rng: Rng): SelectorTensors {
  const grown = new Map([...tensors].map(([name, { data, dims }]) => [name, float32(data.slice(), dims)]));
  const hidden = tensors.get(parameter("0.bias"))?.dims[0] ?? 0;
  for (let n = countOutputs(tensors); n < outputs; n++) {
    const own = rng.fork("output", n);
    append(grown, parameter("2.weight"), draw([hidden], hidden, own.fork("weight")), [n + 1, hidden]);
    append(grown, parameter("2.bias"), draw([1], hidden, own.fork("bias")), [n + 1]);
  }
  return grown;
}

function append(
  tensors: Map<string, HostTensor<"float32">>,
  name: string,
  row: HostTensor<"float32">,
  dims: readonly number[],
): void {
  const before = tensors.get(name)?.data ?? new Float32Array();
  const values = new Float32Array(before.length + row.data.length);
  values.set(before);
  values.set(row.data, before.length);
  tensors.set(name, float32(values, dims));
}

/** N */
export function countOutputs(tensors: SelectorTensors): number {
  return tensors.get(parameter("2.bias"))?.dims[0] ?? 0;
}

function joined(rows: readonly Float64Array[], width: number): HostTensor<"float64"> {
  const values = new Float64Array(rows.length * width);
  rows.forEach((row, i) => {
    values.set(row, i * width);
  });
  return float64(values, [rows.length, width]);
}

/** The bytes of {@link selectorFile}: safetensors, torch's names without the graph's prefix. */
export function encodeSelector({ tensors, statistics }: SelectorState): Uint8Array {
  const all = new Map<string, HostTensor>();
  for (const [name, tensor] of tensors) all.set(name.slice(SELECTOR_PREFIX.length), tensor);
  const width = statistics[0]?.mean.length;
  if (width !== undefined) {
    const classes = [statistics.length];
    all.set(
      "classes.task",
      int64(
        statistics.map(({ task }) => task),
        classes,
      ),
    );
    all.set(
      "classes.count",
      int64(
        statistics.map(({ count }) => count),
        classes,
      ),
    );
    all.set(
      "classes.mean",
      joined(
        statistics.map(({ mean }) => mean),
        width,
      ),
    );
    all.set(
      "classes.variance",
      joined(
        statistics.map(({ variance }) => variance),
        width,
      ),
    );
  }
  return encodeSafetensors(all, { format: "pt", accrete_selector: version });
}

interface Reader {
  readonly where: string;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** @param dims −1 where any length will do */
function read({ tensors, where }: Reader, name: string, dims: readonly number[]): HostTensor {
  const found = tensors.get(name);
  const fits = found?.dims.length === dims.length && dims.every((dim, i) => dim < 0 || dim === found.dims[i]);
  if (found !== undefined && fits) return found;
  throw new CheckpointError(
    `${where}: expected ${name} of shape (${dims.join(", ")}), got ${found === undefined ? "none" : `(${found.dims.join(", ")})`}`,
    { hint: "The selection network belongs to a run of another backbone, or the file is damaged." },
  );
}

function readStatistics(reader: Reader, width: number): ClassStatistics[] {
  if (!reader.tensors.has("classes.task")) return [];
  const task = read(reader, "classes.task", [-1]);
  const classes = task.data.length;
  const count = read(reader, "classes.count", [classes]);
  const mean = read(reader, "classes.mean", [classes, width]);
  const variance = read(reader, "classes.variance", [classes, width]);
  const row = ({ data }: HostTensor, i: number) =>
    Float64Array.from(data.slice(i * width, (i + 1) * width), Number);
  return Array.from({ length: classes }, (_, i) => ({
    task: Number(task.data[i]),
    count: Number(count.data[i]),
    mean: row(mean, i),
    variance: row(variance, i),
  }));
}

/**
 * The inverse of {@link encodeSelector}.
 * @param width D of the backbone
 * @param where names the file in messages
 * @throws CheckpointError if it is of another version, or does not fit the backbone
 */
export function decodeSelector(bytes: Uint8Array, width: number, where: string): SelectorState {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  const found = metadata.get("accrete_selector");
  if (found !== version)
    throw new CheckpointError(
      `${where}: expected a selection network of version ${version}, got ${found ?? "another file"}`,
    );
  const reader = { tensors, where };
  const hidden = selectorHidden(width);
  const outputs = read(reader, "2.bias", [-1]).data.length;
  const shapes: readonly (readonly [string, readonly number[]])[] = [
    ["0.weight", [hidden, width]],
    ["0.bias", [hidden]],
    ["2.weight", [outputs, hidden]],
    ["2.bias", [outputs]],
  ];
  return {
    tensors: new Map(
      shapes.map(([name, dims]) => [
        parameter(name),
        asFloat32(read(reader, name, dims), `${where}: ${name}`),
      ]),
    ),
    statistics: readStatistics(reader, width),
  };
}
