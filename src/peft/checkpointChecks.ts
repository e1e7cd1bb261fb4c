/** Whether an adapter's and a head's tensors are all there and fit together. R = rank, D = width, C = classes. */
import { CheckpointError } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import { heads } from "../nn/heads.ts";
import type { AdapterHost } from "./adapterMethod.ts";
import { parseLoraName } from "./checkpointKeys.ts";
import { loraMatcher, loraSites, MAGNITUDE, siteRank } from "./lora.ts";
import { PROMPT_EMBEDDINGS } from "./promptTuning.ts";
import type { Head, HeadKind, LoraSpec, PromptTuningSpec } from "./types.ts";

export type Tensors = ReadonlyMap<string, HostTensor<"float32">>;
/** Expected shape; undefined is any size. */
type Shape = readonly (number | undefined)[];

const maxNamed = 5;

/** At most a few names, so that a wholly foreign file does not print hundreds. */
export function listed(names: readonly string[]): string {
  const rest = names.length - maxNamed;
  return names.slice(0, maxNamed).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function fits(dims: readonly number[], shape: Shape): boolean {
  return dims.length === shape.length && shape.every((size, i) => size === undefined || size === dims[i]);
}

function checkTensors(tensors: Tensors, expected: ReadonlyMap<string, Shape>, where: string): void {
  const missing = [...expected.keys()].filter((name) => !tensors.has(name));
  if (missing.length > 0) throw new CheckpointError(`${where}: tensors are missing: ${listed(missing)}`);
  const surplus = [...tensors.keys()].filter((name) => !expected.has(name));
  if (surplus.length > 0)
    throw new CheckpointError(
      `${where}: tensors that nothing in the configuration asks for: ${listed(surplus)}`,
    );
  for (const [name, { dims }] of tensors) {
    const shape = expected.get(name) ?? [];
    if (!fits(dims, shape))
      throw new CheckpointError(
        `${where}: ${name}: expected shape (${shape.map((size) => size ?? "any").join(", ")}), got (${dims.join(", ")})`,
      );
  }
}

/** The sites that have LoRA tensors, in the file's order. */
export function adaptedSites(names: Iterable<string>): Set<string> {
  const sites = new Set<string>();
  for (const name of names) {
    const site = parseLoraName(name)?.site;
    if (site !== undefined) sites.add(site);
  }
  return sites;
}

function expectedBiases(
  spec: LoraSpec,
  sites: ReadonlySet<string>,
  tensors: Tensors,
  host: AdapterHost | undefined,
) {
  const ofSites = [...sites].map((site) => `${site}.bias`);
  // Without the backbone nobody knows all its biases, so `all` takes those that are there.
  const present = [...tensors.keys()].filter((name) => name.endsWith(".bias"));
  const rules = {
    none: () => [],
    lora_only: () => ofSites,
    all: () => (host === undefined ? [...new Set([...ofSites, ...present])] : [...host.biases.keys()]),
  };
  return rules[spec.bias]();
}

/**
 * @param host the backbone's layers: with it, what is missing or surplus is known exactly, and every size
 * @throws CheckpointError naming missing, surplus and misshapen tensors.
 */
export function checkLora(spec: LoraSpec, tensors: Tensors, where: string, host?: AdapterHost): void {
  const found = adaptedSites(tensors.keys());
  const sites = host === undefined ? found : new Set(loraSites(spec, host));
  if (sites.size === 0) throw new CheckpointError(`${where}: holds no LoRA tensors`);
  const matches = loraMatcher(spec);
  const unnamed = [...sites].filter((site) => !matches(site));
  if (unnamed.length > 0)
    throw new CheckpointError(
      `${where}: target modules ${JSON.stringify(spec.targetModules)}${spec.layers === undefined ? "" : ` in layers ${spec.layers.join(", ")}`} do not match: ${listed(unnamed)}`,
    );
  const expected = new Map<string, Shape>();
  for (const site of sites) {
    const [inFeatures, outFeatures] = host?.sites.get(site) ?? [];
    const rank = siteRank(spec, site);
    expected.set(`${site}.lora_A.weight`, [rank, inFeatures]);
    expected.set(`${site}.lora_B.weight`, [outFeatures, rank]);
    if (spec.dora) expected.set(`${site}.${MAGNITUDE}`, [outFeatures]);
  }
  for (const { name, dims } of spec.replaced ?? []) expected.set(name, dims);
  for (const name of expectedBiases(spec, sites, tensors, host)) expected.set(name, [host?.biases.get(name)]);
  checkTensors(tensors, expected, where);
}

/** @throws CheckpointError if the prompt is missing, of another size, or not alone. */
export function checkPrompt(
  { virtualTokens }: PromptTuningSpec,
  tensors: Tensors,
  where: string,
  host?: AdapterHost,
): void {
  checkTensors(tensors, new Map([[PROMPT_EMBEDDINGS, [virtualTokens, host?.width]]]), where);
}

/** The shapes of a head, any size where one is not known. */
function headShapes(kind: HeadKind, classes?: number, width?: number): ReadonlyMap<string, Shape> {
  const unknown = -1;
  const shapes = Object.entries(heads[kind].shapes(width ?? unknown, classes ?? unknown));
  return new Map(
    shapes.map(([name, dims]) => [
      name,
      dims.map((size) => (size === unknown || typeof size === "string" ? undefined : size)),
    ]),
  );
}

/** Number of classes of a head. @throws CheckpointError naming missing, surplus and misshapen tensors. */
export function checkHead(head: Head, where: string): number {
  const [classes, width] = head.tensors.get("weight")?.dims ?? [];
  checkTensors(head.tensors, headShapes(head.kind, classes, width), where);
  return classes ?? 0;
}
