/**
 * What sentence-transformers writes beside a model: modules.json, the Pooling module, the prompts. What is not honoured
 * becomes a note, never a default in silence.
 */
import { join, normalize } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import { readJsonIfThere } from "../jsonFile.ts";
import {
  type LeftOut,
  needsConfig,
  readLayer,
  type SentenceLayer,
  type SentenceModule,
} from "./sentenceLayers.ts";

/** What sentence-transformers' own files say about the sentence vector. */
export interface SentencePooling {
  /** Absent where the model pools in a way that Accrete does not have. */
  readonly pooling?: FilePooling;
  /** As the file names them, e.g. `mean_tokens`. */
  readonly modes: readonly string[];
  /** Whether a Normalize module follows. */
  readonly normalize: boolean;
}

type TokenPooling = "cls" | "mean" | "last" | "max" | "mean-sqrt-len" | "weighted-mean";

/** `modules`: several of them, or layers over them. */
export type FilePooling = TokenPooling | "modules";

/** What a text's vector is made by, where that is more than one pooling. */
export interface SentenceChain {
  readonly poolings: readonly TokenPooling[];
  readonly layers: readonly SentenceLayer[];
  /** What it depends on, paths inside the model's folder. */
  readonly files: readonly string[];
}

export interface SentenceModules {
  /** The folder of the Transformer module, relative: `` or `0_Transformer`. */
  readonly transformer: string;
  readonly poolingConfig?: SentencePooling;
  /** Present where `poolingConfig.pooling` is `modules`. */
  readonly chain?: SentenceChain;
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

const poolings: ReadonlyMap<string, TokenPooling> = new Map([
  ["cls_token", "cls"],
  ["cls", "cls"],
  ["max_tokens", "max"],
  ["max", "max"],
  ["mean_tokens", "mean"],
  ["mean", "mean"],
  ["mean_sqrt_len_tokens", "mean-sqrt-len"],
  ["weightedmean_tokens", "weighted-mean"],
  ["weightedmean", "weighted-mean"],
  ["lasttoken", "last"],
]);
/** In this order the vectors of old files stand side by side, whatever the order of the keys. */
const flagOrder = [...poolings.keys()];

/** @throws CheckpointError for a path out of the model's folder */
function checkModule(folder: string, { path, type }: z.infer<typeof modulesSchema>[number]): SentenceModule {
  // `sentence_transformers.models.Dense`
  const kind = type.slice(type.lastIndexOf(".") + 1);
  const inside = normalize(path === "" ? "." : path);
  if (!inside.startsWith("..") && !inside.startsWith("/"))
    return { kind, path: inside === "." ? "" : inside };
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

async function readPooling(folder: string, path: string) {
  const config = await readOptional(join(folder, path, "config.json"), poolingSchema);
  if (config === undefined) return undefined;
  const flag = "pooling_mode_";
  const flags = Object.keys(config).filter((key) => key.startsWith(flag));
  const on = flags.filter((key) => config[key] === true).map((key) => key.slice(flag.length));
  const asked =
    on.length === 0 ? ["mean"] : on.toSorted((a, b) => flagOrder.indexOf(a) - flagOrder.indexOf(b));
  const { pooling_mode: named = asked } = config;
  const modes = [named].flat();
  const known = modes.flatMap((mode) => poolings.get(mode) ?? []);
  return { modes, known: known.length === modes.length ? known : [], includesPrompt: config.include_prompt };
}

const leaveOut = ({ kind, path }: SentenceModule, why: LeftOut) =>
  `${modulesFile}: the ${kind} module${path === "" ? "" : ` in ${path}`} is not applied${why}: a text's vector is what the pooling gives, not what sentence-transformers makes of it.`;

/** Modules that leave a vector as it is, when nothing is trained. */
const idle: ReadonlySet<string> = new Set(["Transformer", "Dropout"]);

/** What stands over the poolings, and a note of each module that cannot be applied. */
async function readLayers(folder: string, modules: readonly SentenceModule[]) {
  const rest = modules.filter(({ kind }) => !idle.has(kind));
  const at = rest.findIndex(({ kind }) => kind === "Pooling");
  const notes = rest.slice(0, Math.max(at, 0)).map((module) => leaveOut(module, ""));
  const layers: SentenceLayer[] = [];
  for (const module of rest.slice(at + 1)) {
    const read = await readLayer(folder, module);
    if (typeof read === "string") notes.push(leaveOut(module, read));
    else layers.push(read);
  }
  return { layers, notes };
}

interface Pooled {
  readonly modes: readonly string[];
  readonly known: readonly TokenPooling[];
}

/** One pooling and what `feature.normalize` says need no chain; what cannot be applied in full is not. */
function composePooling(
  { modes, known }: Pooled,
  layers: readonly SentenceLayer[],
  whole: boolean,
): Pick<SentenceModules, "chain"> & { readonly poolingConfig: SentencePooling } {
  const normalized = layers.at(-1)?.step.kind === "normalize";
  const between = normalized ? layers.slice(0, -1) : layers;
  const [single] = known;
  const config = { modes, normalize: normalized };
  if (single === undefined) return { poolingConfig: config };
  if (known.length === 1 && (between.length === 0 || !whole))
    return { poolingConfig: { pooling: single, ...config } };
  if (!whole) return { poolingConfig: config };
  return {
    poolingConfig: { pooling: "modules", ...config },
    chain: { poolings: known, layers: between, files: between.flatMap(({ files }) => files) },
  };
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

/** What modules.json lists; undefined where there is none. @throws CheckpointError if it is damaged */
async function listModules(folder: string): Promise<readonly SentenceModule[] | undefined> {
  const listed = await readOptional(join(folder, modulesFile), modulesSchema);
  return listed?.map((module) => checkModule(folder, module));
}

function transformerPath(modules: readonly SentenceModule[]): string {
  return modules.find(({ kind }) => kind === "Transformer")?.path ?? "";
}

/** The folder of the Transformer module, relative. @throws CheckpointError if modules.json is damaged */
export async function readTransformerPath(folder: string): Promise<string> {
  return transformerPath((await listModules(folder)) ?? []);
}

/** The config.json files that modules.json names for layers over a pooled vector. @throws CheckpointError if it is damaged */
export async function layerConfigs(folder: string): Promise<readonly string[]> {
  const layers = ((await listModules(folder)) ?? []).filter(({ kind }) => needsConfig(kind));
  return layers.map(({ path }) => join(path, "config.json"));
}

/**
 * Reads modules.json and what it points to.
 * @throws CheckpointError if a file is damaged, or points out of the folder
 */
export async function readSentenceModules(folder: string): Promise<SentenceModules> {
  const listed = await listModules(folder);
  const modules = listed ?? [];
  const find = (kind: string) => modules.find((module) => module.kind === kind);
  const poolingFolder = find("Pooling")?.path ?? "1_Pooling";
  const pooled = await readPooling(folder, poolingFolder);
  const { layers, notes: layerNotes } = await readLayers(folder, modules);
  const composed = pooled && composePooling(pooled, layers, layerNotes.length === 0);
  const prompts = await readOptional(join(folder, promptsFile), promptsSchema);
  const { prefix, notes } = notePrompts(prompts, pooled?.includesPrompt ?? true);
  const unknown = composed !== undefined && composed.poolingConfig.pooling === undefined;
  const chain = composed?.chain;
  return {
    transformer: transformerPath(modules),
    ...(composed && { poolingConfig: composed.poolingConfig }),
    ...(chain && {
      chain: {
        ...chain,
        files: [...(listed ? [modulesFile] : []), `${poolingFolder}/config.json`, ...chain.files],
      },
    }),
    ...(prefix !== undefined && { prefix }),
    notes: [
      ...layerNotes,
      ...(unknown
        ? [
            `The Pooling module's ${composed.poolingConfig.modes.join(" and ") || "mode"} is not applied: the default of feature.pooling stands in its place. Set feature.pooling.`,
          ]
        : []),
      ...notes,
    ],
  };
}
