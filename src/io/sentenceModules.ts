/**
 * What sentence-transformers writes beside a model: modules.json, the Pooling module, the prompts. What is not honoured
 * becomes a note, never a default in silence.
 */
import { join, normalize } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { readJsonIfThere } from "./jsonFile.ts";

/** What sentence-transformers' own files say about the sentence vector. */
export interface SentencePooling {
  /** Absent where the model pools in a way that Accrete does not have. */
  readonly pooling?: FilePooling;
  /** As the file names them, e.g. `mean_tokens`. */
  readonly modes: readonly string[];
  /** Whether a Normalize module follows. */
  readonly normalize: boolean;
}

export type FilePooling = "cls" | "mean" | "last" | "max" | "mean-sqrt-len" | "weighted-mean";

export interface SentenceModules {
  /** The folder of the Transformer module, relative: `` or `0_Transformer`. */
  readonly transformer: string;
  readonly poolingConfig?: SentencePooling;
  /** What is put before every text unless a prompt is asked for. */
  readonly prefix?: string;
  readonly notes: readonly string[];
}

const modulesFile = "modules.json";
const promptsFile = "config_sentence_transformers.json";
const modulesSchema = z.array(z.object({ type: z.string(), path: z.string().default("") }));
const poolingSchema = z.looseObject({
  pooling_mode: z.union([z.string(), z.array(z.string())]).optional(),
  include_prompt: z.boolean().default(true),
});
const promptsSchema = z.looseObject({
  prompts: z.record(z.string(), z.string().nullable()).default({}),
  default_prompt_name: z.string().nullish(),
});

const poolings: ReadonlyMap<string, FilePooling> = new Map([
  ["cls_token", "cls"],
  ["cls", "cls"],
  ["mean_tokens", "mean"],
  ["mean", "mean"],
  ["lasttoken", "last"],
  ["max_tokens", "max"],
  ["max", "max"],
  ["mean_sqrt_len_tokens", "mean-sqrt-len"],
  ["weightedmean_tokens", "weighted-mean"],
  ["weightedmean", "weighted-mean"],
]);

type Module = z.infer<typeof modulesSchema>[number];

/** `sentence_transformers.models.Dense` → `Dense`. */
const kindOf = ({ type }: Module) => type.slice(type.lastIndexOf(".") + 1);

/** @throws CheckpointError for a path out of the model's folder */
function checkPath(folder: string, { path, type }: Module): string {
  const inside = normalize(path === "" ? "." : path);
  if (!inside.startsWith("..") && !inside.startsWith("/")) return inside === "." ? "" : inside;
  throw new CheckpointError(
    `${join(folder, modulesFile)}: ${type} lies in ${path}, out of the model's folder`,
    {
      hint: "Take modules.json from the model's own download.",
    },
  );
}

function parseWith<T>(schema: z.ZodType<T>, json: unknown, path: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(
    `${path}: not as sentence-transformers writes it: ${z.prettifyError(parsed.error)}`,
  );
}

async function readOptional<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const json = await readJsonIfThere(path);
  return json === undefined ? undefined : parseWith(schema, json, path);
}

async function readPooling(folder: string, path: string, normalized: boolean) {
  const config = await readOptional(join(folder, path, "config.json"), poolingSchema);
  if (config === undefined) return undefined;
  const flags = Object.keys(config).filter((key) => key.startsWith("pooling_mode_") && config[key] === true);
  const { pooling_mode: named } = config;
  const modes = named === undefined ? flags.map((key) => key.slice("pooling_mode_".length)) : [named].flat();
  const pooling = modes.length === 1 ? poolings.get(modes[0] ?? "") : undefined;
  return {
    poolingConfig: { ...(pooling && { pooling }), modes, normalize: normalized },
    includesPrompt: config.include_prompt,
  };
}

/** Modules that leave a vector as it is, when nothing is trained. */
const idle: ReadonlySet<string> = new Set(["Transformer", "Pooling", "Normalize", "Dropout"]);

/** The modules whose work is left out: they, and a Normalize that stands before one of them. */
function noteModules(modules: readonly Module[]): string[] {
  return modules
    .filter((module) => !idle.has(kindOf(module)))
    .map(
      (module) =>
        `${modulesFile}: the ${kindOf(module)} module${module.path === "" ? "" : ` in ${module.path}`} is not applied: a text's vector is what the pooling gives, not what sentence-transformers makes of it.`,
    );
}

function notePrompts(prompts: z.infer<typeof promptsSchema> | undefined, includesPrompt: boolean) {
  if (prompts === undefined) return { notes: [] };
  const names = Object.keys(prompts.prompts).filter((name) => prompts.prompts[name]);
  const chosen = prompts.default_prompt_name ?? undefined;
  const prefix = chosen === undefined ? undefined : (prompts.prompts[chosen] ?? undefined);
  if (prefix !== undefined && prefix !== "") {
    const kept = includesPrompt
      ? ""
      : " The Pooling module leaves these words out of the vector (include_prompt: false), and here they are in it.";
    return {
      prefix,
      notes: [
        `${promptsFile}: its prompt ${chosen}, ${JSON.stringify(prefix)}, is put before every text unless prompt says otherwise.${kept}`,
      ],
    };
  }
  if (names.length === 0) return { notes: [] };
  return {
    notes: [
      `${promptsFile} has prompts (${names.join(", ")}) and makes none of them the default: none is put before a text. Set prompt: ${JSON.stringify(`${prompts.prompts[names[0] ?? ""]}{text}`)} for the first.`,
    ],
  };
}

/**
 * Reads modules.json and what it points to.
 * @throws CheckpointError if a file is damaged, or points out of the folder
 */
export async function readSentenceModules(folder: string): Promise<SentenceModules> {
  const listed = await readOptional(join(folder, modulesFile), modulesSchema);
  const modules = (listed ?? []).map((module) => ({ ...module, path: checkPath(folder, module) }));
  const find = (kind: string) => modules.find((module) => kindOf(module) === kind);
  const normalized = find("Normalize") !== undefined;
  const pooled = await readPooling(folder, find("Pooling")?.path ?? "1_Pooling", normalized);
  const prompts = await readOptional(join(folder, promptsFile), promptsSchema);
  const { prefix, notes } = notePrompts(prompts, pooled?.includesPrompt ?? true);
  const unknown = pooled !== undefined && pooled.poolingConfig.pooling === undefined;
  return {
    transformer: find("Transformer")?.path ?? "",
    ...(pooled && { poolingConfig: pooled.poolingConfig }),
    ...(prefix !== undefined && { prefix }),
    notes: [
      ...noteModules(modules),
      ...(unknown
        ? [
            `The Pooling module's ${pooled.poolingConfig.modes.join(" and ") || "mode"} is not applied: the default of feature.pooling stands in its place. Set feature.pooling.`,
          ]
        : []),
      ...notes,
    ],
  };
}
