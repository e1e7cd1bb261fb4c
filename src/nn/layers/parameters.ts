import { CheckpointError } from "../../core/errors.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { constant, input, weight } from "../../graph/ops.ts";
import type { QuantizedWeight, RowRounding, Value, WeightSource } from "../../graph/types.ts";

/** The weight of a linear layer in 8 bits, and its transpose, for gradients. */
export interface QuantizedLinear {
  /** (in, out) */
  readonly weight: QuantizedWeight;
  /** (out, in) */
  readonly transposed: QuantizedWeight;
  /** Of inputs that come from a normalisation. */
  readonly smoothing?: RowRounding["smoothing"];
  /** (out), what the columns of the weight add up to. */
  readonly sums: WeightSource;
}

/** Gives a model its parameters by AutoModel name, e.g. `encoder.layer.0.output.dense.weight`. */
export interface Parameters {
  has(name: string): boolean;
  /** @throws CheckpointError if there is none of that name, or its shape is not `dims`, or it holds no floats. */
  get(name: string, dims: readonly number[]): Value;
  /** What stands in the place of a linear layer's weight where the backbone is in 8 bits. */
  quantized?(name: string): QuantizedLinear | undefined;
}

/** What the engine reads a frozen weight from; it computes in float32 with all of them. */
const weightTypes: readonly WeightSource["dtype"][] = ["float32", "float16", "bfloat16"];

/** Names that old checkpoints use for the same tensors. */
function aliases(name: string): readonly string[] {
  if (name.endsWith("LayerNorm.weight")) return [name, name.replace(/weight$/, "gamma")];
  if (name.endsWith("LayerNorm.bias")) return [name, name.replace(/bias$/, "beta")];
  return [name];
}

/**
 * Parameters read from a checkpoint's files.
 * @param weights by AutoModel name
 * @param where the model's folder, for messages
 * @param prefix what the checkpoint writes in front of AutoModel's names, for messages: `bert.` for a model saved with a head.
 */
export function frozenParameters(
  weights: ReadonlyMap<string, WeightSource>,
  prefix: string,
  where: string,
): Parameters {
  const cache = new Map<string, Value>();
  const find = (name: string) => {
    for (const alias of aliases(name)) {
      const source = weights.get(alias);
      if (source !== undefined) return source;
    }
    return undefined;
  };
  return {
    has: (name) => find(name) !== undefined,
    get(name, dims) {
      const known = cache.get(name);
      if (known !== undefined) return known;
      const source = find(name);
      if (source === undefined)
        throw new CheckpointError(`${where}: the model has no tensor "${prefix}${name}"`, {
          hint: "config.json and model.safetensors do not belong together, or the download is incomplete.",
        });
      if (source.dims.join() !== dims.join())
        throw new CheckpointError(
          `tensor "${prefix}${name}" in ${source.file}: config.json says (${dims.join(", ")}), the file has (${source.dims.join(", ")})`,
          { hint: "config.json and model.safetensors do not belong together: take both from one download." },
        );
      if (!weightTypes.includes(source.dtype))
        throw new CheckpointError(
          `tensor "${prefix}${name}" in ${source.file}: is of type ${source.dtype}; weights are ${weightTypes.join(", ")}`,
          { hint: "Save the model anew in one of these: model.float().save_pretrained(folder)." },
        );
      const value = weight(name, source);
      cache.set(name, value);
      return value;
    },
  };
}

/**
 * Parameters that lie in memory, of small layers beside a model: the engine maps the weights of one folder only.
 * @param where their folder, for messages
 */
export function constantParameters(tensors: ReadonlyMap<string, HostTensor>, where: string): Parameters {
  return {
    has: (name) => tensors.has(name),
    get(name, dims) {
      const tensor = tensors.get(name);
      if (tensor?.dims.join() === dims.join() && tensor.dtype === "float32") return constant(tensor);
      const found = tensor === undefined ? "nothing" : `${tensor.dtype} (${tensor.dims.join(", ")})`;
      throw new CheckpointError(
        `${where}: tensor "${name}": config.json says float32 (${dims.join(", ")}), the file has ${found}`,
        { hint: "config.json and model.safetensors do not belong together: take both from one download." },
      );
    },
  };
}

export interface ParameterShape {
  readonly name: string;
  readonly dims: readonly number[];
}

/** Parameters that are graph inputs, so that they can be trained; `declared` lists those that were asked for. */
export function inputParameters(): Parameters & { readonly declared: readonly ParameterShape[] } {
  const cache = new Map<string, Value>();
  const declared: ParameterShape[] = [];
  return {
    declared,
    has: () => true,
    get(name, dims) {
      const known = cache.get(name);
      if (known !== undefined) return known;
      const value = input(name, "float32", dims);
      cache.set(name, value);
      declared.push({ name, dims });
      return value;
    },
  };
}

/** Those of `base`, and beside them others. */
export function joinParameters(base: Parameters, beside: Parameters): Parameters {
  const holder = (name: string) => (beside.has(name) ? beside : base);
  return {
    has: (name) => holder(name).has(name),
    get: (name, dims) => holder(name).get(name, dims),
    quantized: (name) => base.quantized?.(name),
  };
}

/** Parameters of which some are replaced, e.g. biases that train with an adapter. */
export function overrideParameters(base: Parameters, overrides: ReadonlyMap<string, Value>): Parameters {
  return {
    has: (name) => overrides.has(name) || base.has(name),
    get: (name, dims) => overrides.get(name) ?? base.get(name, dims),
    quantized: (name) => (overrides.has(name) ? undefined : base.quantized?.(name)),
  };
}

/** Parameters of which linear layers' weights are in 8 bits. */
export function quantizedParameters(
  base: Parameters,
  linears: ReadonlyMap<string, QuantizedLinear>,
): Parameters {
  return {
    has: (name) => linears.has(name) || base.has(name),
    get: (name, dims) => base.get(name, dims),
    quantized: (name) => linears.get(name),
  };
}
