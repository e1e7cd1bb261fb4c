/**
 * Data sets as routing features of a frozen backbone, kept in the system's temporary folder: what studies of routers are
 * made on.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveConfig } from "../src/config/load.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import { quantize, takeRows } from "../src/continual/statistics/fixedRows.ts";
import type { Contribution } from "../src/continual/statistics/statistics.ts";
import type { FeatureConstants, FeatureRows } from "../src/continual/types.ts";
import { ConfigError } from "../src/core/errors.ts";
import type { Example } from "../src/data/files/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { sha256 } from "../src/io/hash.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { settingsOf } from "../src/model/settings/settings.ts";
import { resolveStructure } from "../src/model/settings/structure.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const parts = ["train", "validation", "test", "oosValidation", "oosTest"] as const;
export type Part = (typeof parts)[number];

export interface Material {
  readonly features: Readonly<Record<Part, FeatureRows>>;
  readonly labels: Readonly<Record<Part, readonly string[]>>;
  /** Hidden states beside the embeddings'. */
  readonly layers: number;
}

export interface MaterialOptions {
  /** The folder with `data` and `models`. */
  readonly shared: string;
  readonly threads: number;
  /** Of train, where the publisher has no validation texts; 0: none. */
  readonly validationFraction: number;
  /** Of the backbone; default fp32. */
  readonly precision?: "fp32" | "int8";
}

/** How each data set is read, and through which backbone. */
const sources: Readonly<
  Record<string, (shared: string) => { readonly backbone: string; readonly stream: object }>
> = {
  clinc150: (shared) => recipe(shared, "clinc150", 15),
  banking77: (shared) => recipe(shared, "banking77", 7),
  fewrel16: (shared) => ({
    ...recipe(shared, "fewrel", 8),
    stream: { recipe: "fewrel", path: join(shared, "data/fewrel16"), tasks: 8, classOrder: "shuffled" },
  }),
  "demo-mini": () => demo("models/accrete-mini"),
  "demo-minilm": (shared) => demo(join(shared, "models/minilm-l6")),
};

export const materialNames: readonly string[] = Object.keys(sources);

function recipe(shared: string, name: string, tasks: number) {
  const stream = { recipe: name, path: join(shared, "data", name), tasks, classOrder: "shuffled" };
  return { backbone: join(shared, "models/minilm-l6"), stream };
}

function demo(backbone: string) {
  const [train, validation, test] = ["train", "validation", "test"].map((part) => `demo/${part}.jsonl`);
  return { backbone, stream: { train, validation, test, tasks: 6 } };
}

/** @throws ConfigError if there is no such data set */
export async function readMaterial(
  name: string,
  { shared, threads, validationFraction, precision = "fp32" }: MaterialOptions,
): Promise<Material> {
  const source = sources[name]?.(shared);
  if (source === undefined)
    throw new ConfigError(`unknown data "${name}"`, { hint: `one of ${materialNames.join(", ")}` });
  const own = "validation" in source.stream ? {} : { validationFraction };
  const settings = { ...source, stream: { ...source.stream, ...own }, threads, seed: 1, out: "unused" };
  const config = resolveConfig(settings, process.cwd());
  const stream = await loadStream(config.stream, 1);
  const loaded = await loadBackbone(config.backbone, { precision });
  const { maxLength } = config.training;
  const structure = resolveStructure(settingsOf(config), loaded);
  const tokenizer = loaded.tokenizer;
  const runtime = nodeRuntime;
  const model = new AdaptedBackbone({ structure, tokenizer, runtime, maxLength, threads });
  await using _model = model;
  const { layers } = structure.backbone.config;
  const folder = join(tmpdir(), "accrete-bench-routers");
  await mkdir(folder, { recursive: true });
  const read = async (part: Part, examples: readonly Example[]) => {
    const hash = sha256(`${stream.dataHash} ${maxLength} ${examples.length} ${loaded.folder.hash}`).slice(
      0,
      16,
    );
    const path = join(folder, `${name}-${part}-${hash}.bin`);
    const width = (layers + 1) * structure.backbone.width;
    const cached = await readFile(path).catch(() => undefined);
    if (cached !== undefined)
      return { rows: examples.length, width, values: new Float32Array(new Uint8Array(cached).buffer) };
    const features = await model.routingFeatures(model.encode(examples).encodings, {
      layers: Array.from({ length: layers + 1 }, (_, layer) => layer),
    });
    await writeFile(path, new Uint8Array(features.values.buffer));
    return features;
  };
  const all = (part: "train" | "validation" | "test") => stream.tasks.flatMap((task) => task[part]);
  const labelsOf = (part: "train" | "validation" | "test") => all(part).map(({ label }) => label);
  const outside = stream.outOfScope ?? { validation: [], test: [] };
  return {
    layers,
    features: {
      train: await read("train", all("train")),
      validation: await read("validation", all("validation")),
      test: await read("test", all("test")),
      oosValidation: await read("oosValidation", outside.validation),
      oosTest: await read("oosTest", outside.test),
    },
    labels: {
      train: labelsOf("train"),
      validation: labelsOf("validation"),
      test: labelsOf("test"),
      oosValidation: [],
      oosTest: [],
    },
  };
}

/** The columns of some layers of features of all. */
export function cutLayers(
  { rows, width, values }: FeatureRows,
  layers: readonly number[],
  last: number,
): FeatureRows {
  const each = width / (last + 1);
  const cut = new Float32Array(rows * each * layers.length);
  for (let row = 0; row < rows; row++)
    layers.forEach((layer, i) => {
      const start = row * width + layer * each;
      cut.set(values.subarray(start, start + each), (row * layers.length + i) * each);
    });
  return { rows, width: each * layers.length, values: cut };
}

export function contributionsOf(features: FeatureRows, labels: readonly string[]): Contribution[] {
  const fixed = quantize(features);
  const rowsOf = new Map<string, number[]>();
  for (const [row, label] of labels.entries()) {
    const own = rowsOf.get(label) ?? [];
    own.push(row);
    rowsOf.set(label, own);
  }
  return [...rowsOf].map(([label, rows]) => ({ label, rows: takeRows(fixed, rows) }));
}

export function constantsOf(
  backbone: string,
  { width }: FeatureRows,
  layers: readonly number[],
  seed: number,
) {
  return { backbone, layers, width, seed } satisfies FeatureConstants;
}
