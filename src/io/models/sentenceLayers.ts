/** The modules of sentence-transformers that stand over a pooled vector: Dense, LayerNorm, Normalize. */
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import { readJsonIfThere } from "../jsonFile.ts";
import { readSafetensorsHeader, type TensorEntry } from "../safetensors.ts";
import { findWeightFiles } from "./weightFiles.ts";

/** An entry of modules.json, its path checked. */
export interface SentenceModule {
  /** The end of its type: `Dense`. */
  readonly kind: string;
  /** Relative; `` where it has no folder of its own. */
  readonly path: string;
}

const activations = {
  GELU: "gelu",
  Identity: "identity",
  ReLU: "relu",
  Sigmoid: "sigmoid",
  SiLU: "silu",
  Tanh: "tanh",
} as const;

/** As the networks take it; its weights lie under `site`. */
export type SentenceStep =
  | {
      readonly kind: "dense";
      readonly site: string;
      readonly inFeatures: number;
      readonly outFeatures: number;
      readonly bias: boolean;
      readonly activation: (typeof activations)[keyof typeof activations];
      readonly residual: boolean;
    }
  | { readonly kind: "layer-norm"; readonly site: string; readonly width: number }
  | { readonly kind: "normalize" };

export interface SentenceLayer {
  readonly step: SentenceStep;
  readonly weights: ReadonlyMap<string, TensorEntry>;
  /** What its work depends on: paths inside the model's folder. */
  readonly files: readonly string[];
}

const sentence = "sentence_embedding";
/** What a module reads and writes where it says so. */
const places = {
  module_input_name: z.string().default(sentence),
  module_output_name: z.string().nullish(),
};
const size = z.int().min(1);
const denseSchema = z.looseObject({
  ...places,
  in_features: size,
  out_features: size,
  bias: z.boolean().default(true),
  activation_function: z.string().default("torch.nn.modules.activation.Tanh"),
  use_residual: z.boolean().default(false),
});
const normSchema = z.looseObject({ dimension: size });
const normalizeSchema = z.looseObject(places);

/** Why a module is left out, behind "is not applied". */
export type LeftOut = string;

/** @throws CheckpointError where modules.json names a folder that lacks its config.json, or it is damaged */
async function readLayerConfig<T>(folder: string, { kind, path }: SentenceModule, schema: z.ZodType<T>) {
  const file = join(folder, path, "config.json");
  const json = await readJsonIfThere(file);
  if (json === undefined)
    throw new CheckpointError(`${file}: is missing, and modules.json names it as a ${kind} module`, {
      hint: "Copy or download the model with all its folders.",
    });
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${file}: no ${kind} module's: ${z.prettifyError(parsed.error)}`);
}

function elsewhere(config: z.infer<typeof normalizeSchema>): LeftOut | undefined {
  const { module_input_name: from, module_output_name: to } = config;
  if (from === sentence && (to ?? sentence) === sentence) return undefined;
  return ` (it reads ${from} and writes ${to ?? from})`;
}

/** The weights of a module by path and name; a reason where there are none that can be read. */
async function readLayerWeights(
  folder: string,
  { path }: SentenceModule,
): Promise<Omit<SentenceLayer, "step"> | LeftOut> {
  const found = await findWeightFiles(join(folder, path));
  if (found?.names.length !== 1 || path === "")
    return " (it has no model.safetensors; SentenceTransformer(folder).save(folder) writes one)";
  const [name = ""] = found.names;
  const { tensors } = await readSafetensorsHeader(await realpath(join(folder, path, name)));
  return {
    weights: new Map([...tensors].map(([tensor, entry]) => [`${path}.${tensor}`, entry])),
    files: [`${path}/config.json`, `${path}/${name}`],
  };
}

function activationOf(name: string) {
  const end = name.slice(name.lastIndexOf(".") + 1);
  const known = Object.entries(activations).find(([each]) => each === end);
  return name.startsWith("torch.") ? known?.[1] : undefined;
}

type LayerReader = (folder: string, module: SentenceModule) => Promise<SentenceLayer | LeftOut>;

const readers: ReadonlyMap<string, LayerReader> = new Map<string, LayerReader>([
  [
    "Dense",
    async (folder, module) => {
      const config = await readLayerConfig(folder, module, denseSchema);
      const activation = activationOf(config.activation_function);
      if (activation === undefined) return ` (its activation is ${config.activation_function})`;
      const why = elsewhere(config);
      if (why !== undefined) return why;
      const read = await readLayerWeights(folder, module);
      if (typeof read === "string") return read;
      const { in_features: inFeatures, out_features: outFeatures, bias, use_residual: residual } = config;
      const site = module.path;
      return { ...read, step: { kind: "dense", site, inFeatures, outFeatures, bias, activation, residual } };
    },
  ],
  [
    "LayerNorm",
    async (folder, module) => {
      const { dimension: width } = await readLayerConfig(folder, module, normSchema);
      const read = await readLayerWeights(folder, module);
      if (typeof read === "string") return read;
      return { ...read, step: { kind: "layer-norm", site: module.path, width } };
    },
  ],
  [
    "Normalize",
    async (folder, { path }) => {
      const json = path === "" ? undefined : await readJsonIfThere(join(folder, path, "config.json"));
      const parsed = normalizeSchema.safeParse(json ?? {});
      const why = parsed.success ? elsewhere(parsed.data) : " (its config.json is not understood)";
      return why ?? { step: { kind: "normalize" }, weights: new Map(), files: [] };
    },
  ],
]);

/** Whether a module of that kind cannot do without its config.json. */
export function needsConfig(kind: string): boolean {
  return kind === "Dense" || kind === "LayerNorm";
}

/**
 * Reads one module.
 * @returns why it cannot be applied, where it cannot
 * @throws CheckpointError where its files are missing or damaged
 */
export async function readLayer(folder: string, module: SentenceModule): Promise<SentenceLayer | LeftOut> {
  return (await readers.get(module.kind)?.(folder, module)) ?? "";
}
