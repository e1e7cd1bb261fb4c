import { existsSync } from "node:fs";
import { join } from "node:path";
import type { HostTensor } from "../../../core/tensor.ts";
import type { AdapterKind, AdapterSpecs } from "../../../peft/types.ts";
import { damageHintOf, readStore, verifiedTaskFolder } from "../../../workspace/reading.ts";
import { formatBytes, formatCount, formatPairs, formatTable } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface InspectFlags {
  readonly json?: boolean;
}

/** A look into something: the same facts as JSON and as text. */
interface Description {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function describeModel(source: string): Promise<Description> {
  const { loadBackbone, resolveFeature } = await import("../../../model/settings/backbone.ts");
  const { defaultTargetModules, matchTargetModules } = await import("../../../peft/targets.ts");
  const { describeFeature } = await import("../../../nn/features.ts");
  const loaded = await loadBackbone(source);
  const { folder, backbone, tokenizer } = loaded;
  const { config } = backbone;
  const weights = [...folder.weights.values()];
  // Some checkpoints carry position ids as int64; they are no weights.
  const dtypes = [...new Set(weights.map((weight) => weight.dtype))].filter((dtype) => dtype !== "int64");
  const sizeBytes = weights.reduce((sum, weight) => sum + weight.length, 0);
  const feature = resolveFeature(loaded, {});
  const sites = [...backbone.sites.keys()];
  const targets = defaultTargetModules(config.architecture);
  const adapted = matchTargetModules(targets, sites);
  const json = {
    kind: "model",
    path: folder.path,
    hash: folder.hash,
    tokenizerHash: tokenizer.hash,
    config,
    parameters: backbone.parameterCount,
    dtypes,
    sizeBytes,
    maxTokens: backbone.maxTokens,
    feature,
    ...(backbone.modules && { modules: backbone.modules }),
    notes: folder.notes,
    sites: Object.fromEntries(backbone.sites),
    defaultTargets: targets,
    adaptedSites: adapted,
  };
  const kinds = [...new Set(sites.map((site) => site.replace(/\.\d+\./, ".*.")))];
  const text = formatPairs([
    ["model", folder.path],
    [
      "architecture",
      `${config.architecture}, ${config.layers} layers, width ${config.width}, ${config.heads} heads`,
    ],
    ["feed-forward", `${config.intermediate}, ${config.activation}`],
    ["vocabulary", `${formatCount(config.vocabularySize)}, texts up to ${backbone.maxTokens} tokens`],
    [
      "parameters",
      `${formatCount(backbone.parameterCount)}, ${dtypes.join(" and ")}, ${formatBytes(sizeBytes)} on disk`,
    ],
    ["feature", describeFeature(backbone, feature)],
    ["hash", folder.hash],
    ["tokenizer", tokenizer.hash],
    ...folder.notes.map((note, i): [string, string] => [i === 0 ? "notes" : "", note]),
    ["LoRA sites", `${sites.length}; by default ${adapted.length} (${targets.join(", ")})`],
    ...kinds.map((kind): [string, string] => ["", kind]),
  ]);
  return { json, text };
}

/** √Σx². */
function frobeniusNorm(tensor: HostTensor<"float32">): number {
  let squares = 0;
  for (const value of tensor.data) squares += value * value;
  return Math.sqrt(squares);
}

const adapterFacts: { readonly [K in AdapterKind]: (spec: AdapterSpecs[K]) => readonly [string, string] } = {
  lora: (spec) => {
    const targets =
      typeof spec.targetModules === "string" ? spec.targetModules : spec.targetModules.join(", ");
    const scale = spec.rslora ? ", rank-stabilised" : "";
    const byLayer = spec.rankPattern || spec.alphaPattern ? ", other ranks or alphas in some layers" : "";
    return [
      "LoRA",
      `rank ${spec.rank}, alpha ${spec.alpha}${scale}${byLayer}, dropout ${spec.dropout}, bias ${spec.bias}, on ${targets}`,
    ];
  },
  "prompt-tuning": ({ virtualTokens, init, text }) => [
    "prompt",
    `${virtualTokens} virtual tokens, from ${text === undefined ? init : `the text ${JSON.stringify(text)}`}`,
  ],
};

function describeSpec<K extends AdapterKind>(adapter: {
  readonly kind: K;
  readonly spec: AdapterSpecs[K];
}): readonly [string, string] {
  return adapterFacts[adapter.kind](adapter.spec);
}

async function describeAdapter(folder: string): Promise<Description> {
  const { readPeftFolder } = await import("../../../peft/checkpoint.ts");
  const { adapter, head, labels, ...about } = await readPeftFolder(folder);
  const named: (readonly [string, HostTensor<"float32">])[] = [
    ...adapter.tensors,
    ...[...(head?.tensors ?? [])].map(([name, tensor]) => [`head.${name}`, tensor] as const),
  ];
  const tensors = named.map(([name, tensor]) => ({ name, dims: tensor.dims, norm: frobeniusNorm(tensor) }));
  const parameters = named.reduce((sum, [, tensor]) => sum + tensor.data.length, 0);
  const rows = tensors.map(({ name, dims, norm }) => [name, `(${dims.join(", ")})`, norm.toFixed(4)]);
  const facts = formatPairs([
    ["adapter", folder],
    describeSpec(adapter),
    ["head", head === undefined ? "none" : `${head.kind}, ${labels.length} labels`],
    ["labels", labels.join(", ")],
    [
      "feature",
      about.level === "word"
        ? "every token's own"
        : `${about.pooling}${about.normalize ? ", normalised" : ""}`,
    ],
    ["backbone", `${about.baseModel || "unknown"} (${about.backboneHash || "hash unknown"})`],
    ["parameters", formatCount(parameters)],
  ]);
  const text = `${facts}\n${formatTable([["tensor", "shape", "norm"], ...rows], [1, 2])}`;
  return {
    json: {
      kind: "adapter",
      folder,
      method: adapter.kind,
      spec: adapter.spec,
      head: head?.kind ?? null,
      labels,
      ...about,
      parameters,
      tensors,
    },
    text,
  };
}

async function describeRun(folder: string): Promise<Description> {
  const manifest = await readStore(folder);
  const hint = damageHintOf(manifest);
  for (const task of manifest.tasks) await verifiedTaskFolder(folder, task, hint);
  const rows = manifest.tasks.map((task) => [
    task.name,
    String(task.labels.length),
    task.adapter.folder,
    task.adapter.id.slice(0, 12),
  ]);
  const facts = formatPairs([
    ["run", folder],
    ["backbone", `${manifest.backbone.source} (${manifest.backbone.hash})`],
    ["feature", `${manifest.feature.pooling}${manifest.feature.normalize ? ", normalised" : ""}`],
    ["data", manifest.dataHash ?? "learned bit by bit"],
    ["seed", String(manifest.seed)],
    [
      "versions",
      `accrete ${manifest.versions.accrete}, node ${manifest.versions.node}, engine ${manifest.versions.engine}`,
    ],
  ]);
  const tasks = formatTable([["task", "labels", "adapter", "id"], ...rows], [1]);
  const text = `${facts}\n${tasks}every file matches its hash\n`;
  return { json: { kind: "run", folder: folder, manifest }, text };
}

/** By what lies in the folder; a name that is no folder goes to the hub as a model. */
function describe(what: string): Promise<Description> {
  if (existsSync(join(what, "manifest.json"))) return describeRun(what);
  if (existsSync(join(what, "adapter_config.json"))) return describeAdapter(what);
  return describeModel(what);
}

export async function inspectCommand(what: string, flags: InspectFlags, terminal: Terminal): Promise<void> {
  const { json, text } = await describe(what);
  terminal.out(flags.json === true ? `${JSON.stringify(json)}\n` : text);
}
