/** Rotary positions as config.json states them. */
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import type { Rotary, RotaryScaling } from "./rotary.ts";

const scalingSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  factor: z.number().positive().nullish(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().positive().max(1).optional(),
  original_max_position_embeddings: z.int().positive().nullish(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  attention_factor: z.number().positive().nullish(),
  beta_fast: z.number().positive().nullish(),
  beta_slow: z.number().positive().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().optional(),
  short_factor: z.array(z.number().positive()).optional(),
});

export type RotaryParameters = z.infer<typeof scalingSchema>;

/** Rotary settings: `rope_parameters` since transformers 5, the others before. */
export const rotaryKeys = {
  rope_parameters: scalingSchema.nullish(),
  rope_scaling: scalingSchema.nullish(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().positive().max(1).optional(),
} as const;

/** The two kinds of layers of models that alternate. */
export const layerKinds = z.array(z.enum(["full_attention", "sliding_attention"]));

export type LayerKind = z.infer<typeof layerKinds>[number];

/** `rope_parameters` of layers of two kinds, each its own. */
export const rotaryByKind = z
  .looseObject({ full_attention: scalingSchema.nullish(), sliding_attention: scalingSchema.nullish() })
  .nullish();

/** Those of one kind; empty where config.json does not say. */
export function rotaryOfKind(parameters: z.infer<typeof rotaryByKind>, kind: LayerKind): RotaryParameters {
  return parameters?.[kind] ?? {};
}

/** What a config that says nothing means. */
export interface RotaryDefaults {
  readonly theta: number;
  /** The part of each head that is rotated. */
  readonly part: number;
}

/** What of the rest of config.json the scaling depends on. */
export interface RotaryModel {
  /** Elements of a head. */
  readonly headWidth: number;
  /** `max_position_embeddings`. */
  readonly positions: number;
  /** The folder, for messages. */
  readonly where: string;
}

/** Rotary positions, and the longest text that they serve. */
export interface ReadRotary {
  readonly rotary: Rotary;
  readonly positions: number;
}

function need(value: number | null | undefined, key: string, kind: string, where: string): number {
  if (value === undefined || value === null)
    throw new CheckpointError(`${where}: config.json asks for rotary scaling "${kind}" without its "${key}"`);
  return value;
}

/** YaRN's growth of the scores with the length. */
function mscale(factor: number, scale = 1): number {
  return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
}

function yarnAttention(p: RotaryParameters, factor: number): number {
  if (p.attention_factor != null) return p.attention_factor;
  if (p.mscale && p.mscale_all_dim) return mscale(factor, p.mscale) / mscale(factor, p.mscale_all_dim);
  return mscale(factor);
}

interface Scaled {
  readonly scaling?: RotaryScaling;
  readonly positions?: number;
}

/** Each kind of scaling by its name in config.json. */
const kinds: Readonly<Record<string, (parameters: RotaryParameters, model: RotaryModel) => Scaled>> = {
  default: () => ({}),
  linear: (p, { where }) => ({
    scaling: { kind: "linear", factor: need(p.factor, "factor", "linear", where) },
  }),
  // The base grows with texts longer than `max_position_embeddings`; the model is never fed any.
  dynamic: () => ({}),
  llama3: (p, { positions, where }) => ({
    scaling: {
      kind: "llama3",
      factor: need(p.factor, "factor", "llama3", where),
      lowFrequencyFactor: need(p.low_freq_factor, "low_freq_factor", "llama3", where),
      highFrequencyFactor: need(p.high_freq_factor, "high_freq_factor", "llama3", where),
      originalPositions: p.original_max_position_embeddings ?? positions,
    },
  }),
  yarn: (p, { positions }) => {
    const originalPositions = p.original_max_position_embeddings ?? positions;
    const factor = p.factor ?? positions / originalPositions;
    return {
      scaling: {
        kind: "yarn",
        factor,
        fastRotations: p.beta_fast ?? 32,
        slowRotations: p.beta_slow ?? 1,
        originalPositions,
        truncate: p.truncate ?? true,
        attentionFactor: yarnAttention(p, factor),
      },
    };
  },
  // Longer texts would take other divisors for all their tokens: they are cut where those begin.
  longrope: (p, { positions, where }) => {
    const original = p.original_max_position_embeddings ?? positions;
    const factor = p.factor ?? positions / original;
    const attentionFactor =
      p.attention_factor ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original)));
    if (p.short_factor === undefined)
      throw new CheckpointError(`${where}: config.json asks for longrope without "short_factor"`);
    return {
      scaling: { kind: "longrope", factors: p.short_factor, attentionFactor },
      positions: Math.min(positions, original),
    };
  },
};

/**
 * The rotary positions that a set of parameters describes.
 * @throws CheckpointError naming a kind of scaling that Accrete does not have
 */
export function readRotary(
  parameters: RotaryParameters,
  model: RotaryModel,
  defaults: RotaryDefaults,
): ReadRotary {
  const { headWidth, positions, where } = model;
  const kind = parameters.rope_type ?? parameters.type ?? "default";
  const scale = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (scale === undefined)
    throw new CheckpointError(`${where}: config.json asks for rotary scaling "${kind}"`, {
      hint: `Accrete computes rotary embeddings scaled by ${Object.keys(kinds).join(", ")}.`,
    });
  const width = Math.trunc(headWidth * (parameters.partial_rotary_factor ?? defaults.part));
  if (width % 2 !== 0)
    throw new CheckpointError(`${where}: config.json rotates ${width} elements of each head, an odd number`);
  const { scaling, positions: longest = positions } = scale(parameters, model);
  return {
    rotary: { theta: parameters.rope_theta ?? defaults.theta, width, ...(scaling && { scaling }) },
    positions: longest,
  };
}

/** The same of a config.json whose layers all rotate alike. */
export function rotaryOf(
  config: z.infer<z.ZodObject<typeof rotaryKeys>> & {
    readonly original_max_position_embeddings?: number | null | undefined;
  },
  model: RotaryModel,
  defaults: RotaryDefaults,
): ReadRotary {
  const own = config.rope_parameters ?? config.rope_scaling ?? {};
  const original = config.original_max_position_embeddings ?? own.original_max_position_embeddings;
  return readRotary({ ...own, original_max_position_embeddings: original }, model, {
    theta: config.rope_theta ?? defaults.theta,
    part: config.partial_rotary_factor ?? defaults.part,
  });
}
