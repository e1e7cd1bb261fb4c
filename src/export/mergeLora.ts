// Dimensions: R rank, `out` and `in` features of a layer.
/** A LoRA adapter merged into the weights that it adapts: the same model without an adapter. */
import { CheckpointError } from "../core/errors.ts";
import { float32, type HostTensor } from "../core/tensor.ts";
import type { AdapterHost } from "../peft/adapterMethod.ts";
import { loraScaling, loraSites, MAGNITUDE } from "../peft/lora.ts";
import type { LoraAdapter } from "../peft/types.ts";

type Floats = HostTensor<"float32">;

/** s·B A, (out, in), summed in double precision. */
function deltaOf(a: Floats, b: Floats, scaling: number): Float64Array {
  const [rank = 0, inFeatures = 0] = a.dims;
  const [outFeatures = 0] = b.dims;
  const delta = new Float64Array(outFeatures * inFeatures);
  for (let o = 0; o < outFeatures; o++)
    for (let r = 0; r < rank; r++) {
      const factor = scaling * b.data[o * rank + r]!;
      for (let i = 0; i < inFeatures; i++) delta[o * inFeatures + i]! += factor * a.data[r * inFeatures + i]!;
    }
  return delta;
}

/** Rows of W + ΔW brought to the lengths that were trained: m / ‖W + s·B A‖ (DoRA: Liu et al. 2024, eq. 5). */
function rescaleRows(whole: Float64Array, magnitude: Floats, inFeatures: number): void {
  magnitude.data.forEach((length, o) => {
    const row = whole.subarray(o * inFeatures, (o + 1) * inFeatures);
    const gain = length / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let i = 0; i < inFeatures; i++) row[i]! *= gain;
  });
}

/** (rows, columns) → (columns, rows) */
function transposed(values: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column]!;
  return turned;
}

/**
 * W + s·B A of every adapted layer, with DoRA its rows rescaled; trained biases and tables as they are.
 * @param read gives a weight of the backbone, by AutoModel's name, as it is stored
 * @returns what differs from the backbone, by AutoModel's names, stored as the backbone stores it
 * @throws CheckpointError where a tensor of the adapter is missing
 */
export async function* mergeLora(
  { spec, tensors }: LoraAdapter,
  host: Pick<AdapterHost, "sites" | "fanInFanOut">,
  read: (name: string) => Promise<Floats>,
): AsyncGenerator<readonly [name: string, merged: Floats]> {
  const part = (name: string) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new CheckpointError(`the adapter has no tensor "${name}"`);
    return tensor;
  };
  const { fanInFanOut = false } = host;
  const adapted = new Set<string>();
  for (const site of loraSites(spec, host)) {
    const names = [`${site}.lora_A.weight`, `${site}.lora_B.weight`, `${site}.${MAGNITUDE}`] as const;
    for (const name of names) adapted.add(name);
    const [inFeatures, outFeatures] = host.sites.get(site) ?? [0, 0];
    const { data, dims } = await read(`${site}.weight`);
    const whole = deltaOf(part(names[0]), part(names[1]), loraScaling(spec, site)); // (out, in)
    const own = fanInFanOut ? transposed(data, inFeatures, outFeatures) : data;
    for (let i = 0; i < whole.length; i++) whole[i]! += own[i]!;
    if (spec.dora === true) rescaleRows(whole, part(names[2]), inFeatures);
    const stored = fanInFanOut ? transposed(whole, outFeatures, inFeatures) : whole;
    yield [`${site}.weight`, float32(Float32Array.from(stored), dims)];
  }
  for (const [name, tensor] of tensors) if (!adapted.has(name)) yield [name, tensor];
}
