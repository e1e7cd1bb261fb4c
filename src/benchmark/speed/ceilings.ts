// Dimensions: N rows, K inputs, O outputs.
/** What this machine reaches at best: the ceilings that steps are held against. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRng } from "../../core/random.ts";
import { float32, type HostTensor, type StorageDType } from "../../core/tensor.ts";
import { createGraph } from "../../graph/graph.ts";
import * as op from "../../graph/ops.ts";
import type { Value, WeightSource } from "../../graph/types.ts";
import { multipliesBytes } from "../../io/processor.ts";
import { nodeRuntime } from "../../runtime/node.ts";

export interface Ceilings {
  /** Multiplications and additions a second, of a product that is as large as a feed-forward layer's. */
  readonly float32: number;
  /** The same in 8 bits, rounding of the rows included; undefined where the processor does not multiply bytes. */
  readonly int8: number | undefined;
  /** Bytes a second that are read and written by a copy. */
  readonly copy: number;
}

const [N, K, O] = [1024, 768, 3072];
/** A copy that no cache holds. */
const COPIED_BYTES = 2 ** 27;
const ROUNDS = 12;

/** The least of several times, in seconds; the first one warms up. */
export async function fastest(work: () => Promise<void> | void, rounds = ROUNDS): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = -1; round < rounds; round++) {
    const began = performance.now();
    await work();
    if (round >= 0) least = Math.min(least, performance.now() - began);
  }
  return least / 1000;
}

async function writeWeight(
  folder: string,
  name: string,
  dtype: StorageDType,
  dims: readonly number[],
  data: Uint8Array,
) {
  const file = join(folder, `${name}.bin`);
  await writeFile(file, data);
  return { file, dtype, dims, offset: 0, length: data.length } satisfies WeightSource;
}

/** Weights lie in files, as a model's do: the engine packs them. */
async function products(
  folder: string,
): Promise<(x: Value) => { readonly float32: Value; readonly int8: Value }> {
  const rng = createRng(1);
  const floats = Float32Array.from({ length: K * O }, () => rng.uniform() - 0.5);
  const codes = Int8Array.from(floats, (value) => Math.round(254 * value));
  const bytes = (data: Float32Array | Int8Array) => new Uint8Array(data.buffer);
  const rounded = async (name: string, dims: readonly [number, number]) => ({
    name,
    codes: await writeWeight(folder, name, "uint8", dims, bytes(codes)),
    scales: await writeWeight(
      folder,
      `${name}-scales`,
      "float32",
      [dims[1]],
      bytes(new Float32Array(dims[1]).fill(1 / 254)),
    ),
  });
  const weight = await writeWeight(folder, "floats", "float32", [O, K], bytes(floats));
  const [forward, backward] = [await rounded("forward", [K, O]), await rounded("backward", [O, K])];
  return (x) => ({
    float32: op.gemm(x, op.weight("w", weight), { transposeB: true }),
    int8: op.quantizedGemm(x, forward, backward),
  });
}

async function productRate(y: Value, x: HostTensor, threads: number): Promise<number> {
  await using executable = await nodeRuntime.compile(createGraph({ y }), { threads });
  return (2 * N * K * O) / (await fastest(async () => void (await executable.run({ x }))));
}

export async function measureCeilings(threads: number): Promise<Ceilings> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-ceilings-"));
  try {
    const build = await products(folder);
    const rng = createRng(2);
    const x = float32(
      Float32Array.from({ length: N * K }, () => rng.uniform() - 0.5),
      [N, K],
    );
    const values = build(op.input("x", "float32", ["N", K]));
    const [from, to] = [new Uint8Array(COPIED_BYTES), new Uint8Array(COPIED_BYTES)];
    return {
      float32: await productRate(values.float32, x, threads),
      int8: multipliesBytes() ? await productRate(values.int8, x, threads) : undefined,
      copy: (2 * COPIED_BYTES) / (await fastest(() => to.set(from))),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
