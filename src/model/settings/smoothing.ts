// Dimensions: B texts, T tokens, K width of what a normalisation gives.
/** Where outliers of activations stand: columns of what normalisations give, by tokens drawn at random. */
import { createRng } from "../../core/random.ts";
import { int64 } from "../../core/tensor.ts";
import { createGraph } from "../../graph/graph.ts";
import * as op from "../../graph/ops.ts";
import { isKind, type Value } from "../../graph/types.ts";
import type { Backbone } from "../../nn/backbone.ts";
import { noDropout, type SiteTransform } from "../../nn/layers/layers.ts";
import { nodeRuntime } from "../../runtime/node.ts";

const TEXTS = 16;
const TOKENS = 32;
/** Factors are powers of 2^(1/2), so that the last bits of a maximum, which hang on the processor, count for nothing. */
const STEPS_TO_DOUBLE = 2;
/** Columns that hardly reach anywhere, or that nothing reads, are left as they are. */
const NEGLIGIBLE = 1e-6;

/** The name of the γ of the normalisation that a value comes from. */
function normOf({ node }: Value): string | undefined {
  if (!isKind(node, "layerNorm") && !isKind(node, "rmsNorm")) return undefined;
  const gamma = node.inputs[1]?.node;
  return gamma !== undefined && isKind(gamma, "weight") ? gamma.attributes.name : undefined;
}

/** What linear layers read that comes from a normalisation. */
export interface NormReaders {
  /** Name of a layer's weight → that of the normalisation's γ. A layer that several values go through has none. */
  readonly norms: ReadonlyMap<string, string>;
  /** γ → max|x_k| over tokens drawn at random, (K). Real texts have their outliers in the same columns. */
  readonly reach: ReadonlyMap<string, Float32Array>;
}

export async function readNorms(backbone: Backbone): Promise<NormReaders> {
  const { parameters } = backbone;
  const norms = new Map<string, string | undefined>();
  const values = new Map<string, Value>();
  const transform: SiteTransform = (site, x, y) => {
    const norm = normOf(x);
    const name = `${site}.weight`;
    norms.set(name, norms.has(name) && norms.get(name) !== norm ? undefined : norm);
    if (norm !== undefined) values.set(norm, op.reduceMax(op.maximum(x, op.neg(x)), [0])); // (K)
    return y;
  };
  backbone.build({ parameters, transform, dropout: noDropout }, backbone.declareInputs());
  const known = [...norms].flatMap(([name, norm]) => (norm === undefined ? [] : [[name, norm] as const]));
  return { norms: new Map(known), reach: await reachOf(backbone, values) };
}

async function reachOf(
  { config, maxTokens }: Backbone,
  values: ReadonlyMap<string, Value>,
): Promise<ReadonlyMap<string, Float32Array>> {
  const reach = new Map<string, Float32Array>();
  if (values.size === 0) return reach;
  const rng = createRng(1).fork("smoothing");
  const tokens = Math.min(TOKENS, maxTokens);
  const dims = [TEXTS, tokens];
  const filled = (make: (place: number) => number) =>
    int64(
      Array.from({ length: TEXTS * tokens }, (_, i) => make(i % tokens)),
      dims,
    );
  const all = {
    input_ids: filled(() => rng.integer(config.vocabularySize)),
    attention_mask: filled(() => 1),
    token_type_ids: filled(() => 0),
    position_ids: filled((place) => config.firstPosition + place),
  };
  const graph = createGraph(Object.fromEntries(values));
  const asked = new Set(graph.inputs.map(({ attributes }) => attributes.name));
  const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => asked.has(name)));
  await using executable = await nodeRuntime.compile(graph, { threads: 1, packWeights: false });
  for (const [norm, { data }] of Object.entries(await executable.run(feeds)))
    if (data instanceof Float32Array) reach.set(norm, data);
  return reach;
}

/**
 * Factors 1/s of the columns of what a normalisation gives: s_k = √(max|x_k| / max_o|w_ko|) (SmoothQuant, Xiao et al. 2023, eq. 4,
 * α = ½).
 * @param reach max|x_k|, (K)
 * @param largest max_o|w_ko| over all layers that read it, (K)
 * @returns (K)
 */
export function smoothingFactors(reach: Float32Array, largest: Float32Array): Float32Array {
  return reach.map((most, k) => {
    if (most < NEGLIGIBLE || largest[k]! < NEGLIGIBLE) return 1;
    const doublings = Math.log2(largest[k]! / most) / 2;
    return 2 ** (Math.round(STEPS_TO_DOUBLE * doublings) / STEPS_TO_DOUBLE);
  });
}
