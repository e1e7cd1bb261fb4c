// Dimensions: B batch, T tokens, M rows of an example, N = B·M rows, R rank, S stacked tasks.
import { ConfigError } from "../core/errors.ts";
import type { Rng } from "../core/random.ts";
import { float32, type HostTensor, zeros } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { type Dim, divideDim, multiplyDims, type Shape } from "../graph/shape.ts";
import type { Value } from "../graph/types.ts";
import type { Dropout, SiteTransform } from "../nn/layers.ts";
import type { ParameterShape } from "../nn/parameters.ts";
import { type AdapterGraph, type AdapterHost, type AdapterMethod, adaptNothing } from "./adapterMethod.ts";
import { layerOf, matchPattern, matchTargetModules, targetMatcher } from "./targets.ts";
import type { LoraSpec } from "./types.ts";

/** Whether a site lies in one of the layers that a spec adapts. */
export function inLayers({ layers }: LoraSpec, site: string): boolean {
  if (layers === undefined) return true;
  const layer = layerOf(site);
  return layer !== undefined && layers.includes(layer);
}

/** Whether a spec adapts a site. */
export function loraMatcher(spec: LoraSpec): (site: string) => boolean {
  const matches = targetMatcher(spec.targetModules);
  return (site) => matches(site) && inLayers(spec, site);
}

/** The sites a spec adapts, in the model's order. @throws ConfigError if none matches. */
export function loraSites(spec: LoraSpec, host: Pick<AdapterHost, "sites">): readonly string[] {
  const matched = matchTargetModules(spec.targetModules, [...host.sites.keys()]);
  const sites = matched.filter((site) => inLayers(spec, site));
  if (sites.length === 0)
    throw new ConfigError(
      `target modules: ${JSON.stringify(spec.targetModules)} matches nothing in the layers ${spec.layers?.join(", ")}`,
      { hint: `The first layer that it matches is ${matched[0]}.` },
    );
  return sites;
}

/** The layers below the lowest that is adapted; with every bias trained there are none. */
function sharedLayers(spec: LoraSpec, host: AdapterHost): number {
  if (spec.bias === "all") return 0;
  // What has no layer lies on top of them all.
  return Math.min(...loraSites(spec, host).map((site) => layerOf(site) ?? Number.POSITIVE_INFINITY));
}

function trainedBiases(
  spec: LoraSpec,
  host: AdapterHost,
  sites: readonly string[],
): ReadonlyMap<string, number> {
  const rules = {
    none: () => false,
    all: () => true,
    lora_only: (name: string) => sites.some((site) => name === `${site}.bias`),
  };
  return new Map([...host.biases].filter(([name]) => rules[spec.bias](name)));
}

/** R of a site: the spec's, unless its pattern says otherwise. */
export function siteRank(spec: LoraSpec, site: string): number {
  return matchPattern(spec.rankPattern, site) ?? spec.rank;
}

/** s in y + s·B(A(x)): α/r, or α/√r with rank-stabilised LoRA (Kalajdzievski 2023). */
export function loraScaling(spec: LoraSpec, site: string): number {
  const alpha = matchPattern(spec.alphaPattern, site) ?? spec.alpha;
  const rank = siteRank(spec, site);
  return alpha / (spec.rslora ? Math.sqrt(rank) : rank);
}

/** What of a spec shapes a graph, in one form however it was written: specs that are told alike share a graph. */
function describeLora(spec: LoraSpec, host: AdapterHost) {
  const sites = loraSites(spec, host);
  const groups = new Map<string, string[]>();
  for (const site of sites) {
    const key = `rank ${siteRank(spec, site)}, scaling ${loraScaling(spec, site)}`;
    groups.set(key, [...(groups.get(key) ?? []), site]);
  }
  return { bias: spec.bias, lora: Object.fromEntries(groups) };
}

/** The parameters of a spec as inputs, and where each belongs. */
interface LoraInputs extends Pick<AdapterGraph, "inputs" | "shapes"> {
  /** A and B by site. */
  readonly pairs: ReadonlyMap<string, readonly [Value, Value]>;
  readonly biases: ReadonlyMap<string, Value>;
}

/** @param stack what stands in front of every parameter's own shape: nothing, or S */
function declareLora(spec: LoraSpec, host: AdapterHost, stack: Shape = []): LoraInputs {
  const sites = loraSites(spec, host);
  const shapes: ParameterShape[] = [];
  const inputs = new Map<string, Value>();
  const declare = (name: string, dims: readonly number[]) => {
    const value = op.input(name, "float32", [...stack, ...dims]);
    shapes.push({ name, dims });
    inputs.set(name, value);
    return value;
  };

  const pairs = new Map<string, readonly [Value, Value]>();
  for (const site of sites) {
    const [inFeatures, outFeatures] = host.sites.get(site) ?? [0, 0];
    const rank = siteRank(spec, site);
    const a = declare(`${site}.lora_A.weight`, [rank, inFeatures]);
    const b = declare(`${site}.lora_B.weight`, [outFeatures, rank]);
    pairs.set(site, [a, b]);
  }
  const biases = new Map<string, Value>();
  for (const [name, size] of trainedBiases(spec, host, sites)) biases.set(name, declare(name, [size]));
  return { inputs, shapes, pairs, biases };
}

/**
 * LoRA (Hu et al. 2022): y = W x + b + s·B A dropout(x), with A (R, in) and B (out, R) as graph inputs.
 * @param dropout the place's mask in training; the identity otherwise
 */
function buildLora(spec: LoraSpec, host: AdapterHost, dropout: Dropout): AdapterGraph {
  const { inputs, shapes, pairs, biases } = declareLora(spec, host);
  const transform: SiteTransform = (site, x, y) => {
    const pair = pairs.get(site);
    if (pair === undefined) return y;
    const [a, b] = pair;
    const down = op.gemm(dropout(`${site}.lora_dropout`, x, spec.dropout), a, { transposeB: true }); // (N, R)
    return op.gemm(down, b, { transposeB: true, alpha: loraScaling(spec, site), c: y }); // (N, out)
  };
  return { inputs, shapes, transform, overrides: biases };
}

/**
 * As {@link buildLora}, for S tasks at once: A (S, R, in) and B (S, out, R), of which each example of a batch takes its
 * own task's.
 */
function buildStackedLora(spec: LoraSpec, host: AdapterHost, taskOf: Value): AdapterGraph {
  const { inputs, shapes, pairs, biases } = declareLora(spec, host, ["S"]);
  const [batch = "B"] = taskOf.shape;
  const transform: SiteTransform = (site, x, y) => {
    const pair = pairs.get(site);
    if (pair === undefined) return y;
    const a = op.gather(pair[0], taskOf); // (B, R, in)
    const b = op.gather(pair[1], taskOf); // (B, out, R)
    const [rows = batch, inFeatures = 1] = x.shape;
    const perExample = op.reshape(x, [batch, divideDim(rows, batch), inFeatures]); // (B, M, in)
    const down = op.matmul(perExample, a, { transposeB: true }); // (B, M, R)
    const up = op.matmul(down, b, { transposeB: true, alpha: loraScaling(spec, site) }); // (B, M, out)
    return op.add(op.reshape(up, y.shape), y); // (N, out)
  };
  const overrides = new Map<string, Value>();
  for (const [name, stacked] of biases)
    overrides.set(name, perRow(op.gather(stacked, taskOf), rowsOfBias(name, host)));
  return { inputs, shapes, transform, overrides };
}

/** An example's rows: its tokens, or the one vector that a layer on top of the backbone reads. */
function rowsOfBias(name: string, host: AdapterHost): Dim {
  const site = name.slice(0, name.lastIndexOf("."));
  return host.sentenceSites?.has(site) === true ? 1 : "T";
}

/** Every example's vector on each of its M rows. (B, size) → (B·M, size) */
function perRow(vectors: Value, rows: Dim): Value {
  const [batch = "B", size = 1] = vectors.shape;
  if (rows === 1) return vectors;
  const spread = op.expand(op.reshape(vectors, [batch, 1, size]), [batch, rows, size]);
  return op.reshape(spread, [multiplyDims([batch, rows]), size]);
}

/**
 * peft's initialisation: A ~ U(±1/√in) (Kaiming uniform with a = √5), B = 0, biases as the backbone has them.
 * @param readBias gives the backbone's own value of a bias
 */
export async function initLora(
  shapes: readonly ParameterShape[],
  rng: Rng,
  readBias: (name: string) => Promise<HostTensor<"float32">>,
): Promise<Map<string, HostTensor<"float32">>> {
  const tensors = new Map<string, HostTensor<"float32">>();
  for (const { name, dims } of shapes) {
    if (name.endsWith(".lora_A.weight")) {
      const [rank = 0, inFeatures = 1] = dims;
      const draw = rng.fork(name);
      const bound = 1 / Math.sqrt(inFeatures);
      const values = Float32Array.from({ length: rank * inFeatures }, () => (2 * draw.uniform() - 1) * bound);
      tensors.set(name, float32(values, dims));
    } else tensors.set(name, name.endsWith(".lora_B.weight") ? zeros(dims) : await readBias(name));
  }
  return tensors;
}

/** LoRA as a kind of adapter. */
export function loraMethod(spec: LoraSpec): AdapterMethod {
  return {
    virtualTokens: 0,
    build: (host, dropout) => buildLora(spec, host, dropout),
    buildStacked: (host, taskOf) => buildStackedLora(spec, host, taskOf),
    init: (shapes, rng, source) => initLora(shapes, rng, source.readBias),
    sharedLayers: (host) => sharedLayers(spec, host),
    adapt: adaptNothing,
    describe: (host) => describeLora(spec, host),
  };
}
