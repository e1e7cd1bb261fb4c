// Dimensions: B batch, T tokens, M rows of an example, N = B·M rows, R rank, S stacked tasks.
import { ConfigError, GraphError } from "../core/errors.ts";
import type { Rng } from "../core/random.ts";
import { float32, type HostTensor, zeros } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { type Dim, divideDim, multiplyDims, type Shape } from "../graph/shape.ts";
import type { Value } from "../graph/types.ts";
import type { Dropout, SiteTransform } from "../nn/layers/layers.ts";
import type { ParameterShape } from "../nn/layers/parameters.ts";
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
  if (spec.bias === "all" || spec.replaced !== undefined) return 0;
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
  const { replaced, dora } = spec;
  const groups = new Map<string, string[]>();
  for (const site of sites) {
    const key = `rank ${siteRank(spec, site)}, scaling ${loraScaling(spec, site)}`;
    groups.set(key, [...(groups.get(key) ?? []), site]);
  }
  return {
    bias: spec.bias,
    lora: Object.fromEntries(groups),
    ...(dora && { dora }),
    ...(replaced && { replaced: replaced.map(({ name }) => name) }),
  };
}

/** The parameters of one site. */
interface SiteInputs {
  readonly a: Value;
  readonly b: Value;
  /** DoRA's, (out). */
  readonly magnitude?: Value;
}

/** The parameters of a spec as inputs, and where each belongs. */
interface LoraInputs extends Pick<AdapterGraph, "inputs" | "shapes"> {
  readonly sites: ReadonlyMap<string, SiteInputs>;
  readonly biases: ReadonlyMap<string, Value>;
  /** Whole tables by AutoModel name. */
  readonly replaced: ReadonlyMap<string, Value>;
}

/** @param stack what stands in front of every parameter's own shape: nothing, or S */
function declareLora(spec: LoraSpec, host: AdapterHost, stack: Shape = []): LoraInputs {
  if (host.sharesRows && spec.bias !== "none")
    throw new ConfigError(`method.bias: ${spec.bias} does not go with this backbone`, {
      hint: "Its layers read texts and distances with the same biases: set method.bias to none.",
    });
  const sites = loraSites(spec, host);
  const shapes: ParameterShape[] = [];
  const inputs = new Map<string, Value>();
  const declare = (name: string, dims: readonly number[]) => {
    const value = op.input(name, "float32", [...stack, ...dims]);
    shapes.push({ name, dims });
    inputs.set(name, value);
    return value;
  };

  const declared = new Map<string, SiteInputs>();
  for (const site of sites) {
    const [inFeatures, outFeatures] = host.sites.get(site) ?? [0, 0];
    const rank = siteRank(spec, site);
    const a = declare(`${site}.lora_A.weight`, [rank, inFeatures]);
    const b = declare(`${site}.lora_B.weight`, [outFeatures, rank]);
    const magnitude = spec.dora && declare(`${site}.${MAGNITUDE}`, [outFeatures]);
    declared.set(site, { a, b, ...(magnitude && { magnitude }) });
  }
  const biases = new Map<string, Value>();
  for (const [name, size] of trainedBiases(spec, host, sites)) biases.set(name, declare(name, [size]));
  const replaced = new Map((spec.replaced ?? []).map(({ name, dims }) => [name, declare(name, dims)]));
  return { inputs, shapes, sites: declared, biases, replaced };
}

/**
 * LoRA (Hu et al. 2022): y = W x + b + s·B A dropout(x), with A (R, in) and B (out, R) as graph inputs.
 * @param dropout the place's mask in training; the identity otherwise
 */
function buildLora(spec: LoraSpec, host: AdapterHost, dropout: Dropout): AdapterGraph {
  const { inputs, shapes, sites, biases, replaced } = declareLora(spec, host);
  const transform: SiteTransform = (site, x, y) => {
    const own = sites.get(site);
    if (own === undefined) return y;
    const down = op.gemm(dropout(`${site}.lora_dropout`, x, spec.dropout), own.a, { transposeB: true }); // (N, R)
    const alpha = loraScaling(spec, site);
    if (own.magnitude === undefined) return op.gemm(down, own.b, { transposeB: true, alpha, c: y }); // (N, out)
    const up = op.gemm(down, own.b, { transposeB: true, alpha }); // (N, out)
    const gain = doraGain(site, own.magnitude, own.a, own.b, alpha, host); // (out)
    return decomposed(y, up, gain, biases.get(`${site}.bias`) ?? ownBias(site, host));
  };
  return { inputs, shapes, transform, overrides: new Map([...biases, ...replaced]) };
}

/**
 * As {@link buildLora}, for S tasks at once: A (S, R, in) and B (S, out, R), of which each example of a batch takes its
 * own task's.
 */
function buildStackedLora(spec: LoraSpec, host: AdapterHost, taskOf: Value): AdapterGraph {
  const { inputs, shapes, sites, biases, replaced } = declareLora(spec, host, ["S"]);
  const [batch = "B"] = taskOf.shape;
  const overrides = new Map<string, Value>();
  for (const [name, stacked] of biases)
    overrides.set(name, perRow(op.gather(stacked, taskOf), rowsOfBias(name, host)));
  const transform: SiteTransform = (site, x, y) => {
    const own = sites.get(site);
    if (own === undefined) return y;
    const a = op.gather(own.a, taskOf); // (B, R, in)
    const b = op.gather(own.b, taskOf); // (B, out, R)
    const [rows = batch, inFeatures = 1] = x.shape;
    // Rows that all texts share are each text's own from here on.
    const each = typeof rows === "number" ? rows : divideDim(rows, batch);
    const spread = (value: Value, width: Dim) =>
      typeof rows === "number"
        ? op.expand(op.reshape(value, [1, each, width]), [batch, each, width])
        : op.reshape(value, [batch, each, width]);
    const down = op.matmul(spread(x, inFeatures), a, { transposeB: true }); // (B, M, R)
    const alpha = loraScaling(spec, site);
    const up = op.matmul(down, b, { transposeB: true, alpha }); // (B, M, out)
    const outFeatures = y.shape[1] ?? 1;
    const flat = (value: Value) => op.reshape(value, [multiplyDims([batch, each]), outFeatures]);
    const below = flat(spread(y, outFeatures)); // (N, out)
    if (own.magnitude === undefined) return op.add(flat(up), below);
    const gains = op.gather(doraGain(site, own.magnitude, own.a, own.b, alpha, host), taskOf); // (B, out)
    const gain = perRow(gains, each);
    return decomposed(below, flat(up), gain, overrides.get(`${site}.bias`) ?? ownBias(site, host));
  };
  const embed = stackedEmbeddings(replaced, host, taskOf);
  return { inputs, shapes, transform, overrides, ...(embed && { embed }) };
}

/** Each example's words from its own task's table. @throws ConfigError for other tables than that of the words */
function stackedEmbeddings(
  replaced: ReadonlyMap<string, Value>,
  host: AdapterHost,
  taskOf: Value,
): AdapterGraph["embed"] {
  if (replaced.size === 0) return undefined;
  const [table] = replaced.values();
  if (table === undefined || replaced.size > 1)
    throw new ConfigError("adapters that replace more than the word embeddings do not run side by side");
  const [, vocabulary = 1, width = host.width] = table.shape;
  const rows = op.reshape(table, [multiplyDims(["S", vocabulary]), width]); // (S·V, D)
  return (_, ids) => {
    const first = op.reshape(op.mul(taskOf, Number(vocabulary)), [ids.shape[0] ?? "B", 1]);
    return op.gather(rows, op.reshape(op.add(ids, first), [multiplyDims(ids.shape)]));
  };
}

/** The magnitudes' name in peft. */
export const MAGNITUDE = "lora_magnitude_vector";

/**
 * DoRA's gain of every output, m / ‖W + s·B A‖ by rows (Liu et al. 2024, eq. 5); the norm counts as a constant (section 4.3).
 * @param magnitude (out), or of S tasks (S, out); a and b likewise
 * @returns as magnitude
 */
function doraGain(
  site: string,
  magnitude: Value,
  a: Value,
  b: Value,
  scaling: number,
  { parameters, sites, fanInFanOut = false }: AdapterHost,
): Value {
  const [inFeatures, outFeatures] = sites.get(site) ?? [0, 0];
  if (parameters === undefined) throw new GraphError(`DoRA: ${site}: the backbone's weights are not known`);
  const dims = fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
  const stored = parameters.get(`${site}.weight`, dims);
  const weight = fanInFanOut ? op.transpose(stored, [1, 0]) : stored;
  const delta = op.matmul(b, a, { alpha: scaling }); // (…, out, in)
  const whole = op.add(delta, weight);
  const norm = op.sqrt(op.reduceSum(op.mul(whole, whole), [-1]));
  return op.div(magnitude, op.stopGradient(norm));
}

function ownBias(site: string, { parameters, biases }: AdapterHost): Value | undefined {
  const size = biases.get(`${site}.bias`);
  return size === undefined ? undefined : parameters?.get(`${site}.bias`, [size]);
}

/** y + (g − 1)·(y − b) + g·up: the gain g acts on W x and on the adapter's part, not on the bias. */
function decomposed(y: Value, up: Value, gain: Value, bias: Value | undefined): Value {
  const product = bias === undefined ? y : op.sub(y, bias);
  return op.add(y, op.add(op.mul(op.sub(gain, 1), product), op.mul(gain, up)));
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
