/**
 * A LoRA spec as peft's file must state it, and back. We name layers as AutoModel does; peft matches them in the model
 * it loads, where a classification model puts `bert.` or `roberta.` before the same names.
 */
import { readsPooler } from "../nn/features.ts";
import type { LoraConfig } from "./checkpointConfig.ts";
import { prefixPattern, unprefixPattern } from "./checkpointKeys.ts";
import { inLayers } from "./lora.ts";
import { matchPattern, targetMatcher } from "./targets.ts";
import type { LoraSpec, Pooling } from "./types.ts";

type Patterns = NonNullable<LoraSpec["rankPattern"]>;

/**
 * Rank or alpha patterns, made for paths that begin with `from`, for the same layers under the prefix `to`: as they
 * are where they give every site the same value, else one entry a site.
 */
function movePatterns(patterns: Patterns, sites: ReadonlySet<string>, from: string, to: string): Patterns {
  const values = [...sites].map((site) => [to + site, matchPattern(patterns, from + site)] as const);
  if (values.every(([path, value]) => matchPattern(patterns, path) === value)) return patterns;
  return Object.fromEntries(values.flatMap(([path, value]) => (value === undefined ? [] : [[path, value]])));
}

function withMovedPatterns(spec: LoraSpec, sites: ReadonlySet<string>, from: string, to: string): LoraSpec {
  const { rankPattern, alphaPattern } = spec;
  return {
    ...spec,
    ...(rankPattern && { rankPattern: movePatterns(rankPattern, sites, from, to) }),
    ...(alphaPattern && { alphaPattern: movePatterns(alphaPattern, sites, from, to) }),
  };
}

function isAllLinear(targets: string): boolean {
  return targets.toLowerCase() === "all-linear";
}

/**
 * The spec as it must read for peft to find the same layers in the model that it will load.
 * @param prefix what stands before AutoModel's paths there: empty for a model without a head
 */
export function specForFile(
  spec: LoraSpec,
  pooling: Pooling,
  sites: ReadonlySet<string>,
  prefix: string,
): LoraSpec {
  const { targetModules, layers } = spec;
  if (layers !== undefined && !canCountLayers(targetModules, sites, prefix))
    return { ...withMovedPatterns(spec, sites, "", prefix), targetModules: withPrefix(sites, prefix) };
  if (prefix === "") {
    // AutoModel has a pooler whether it is read or not: with these targets peft would adapt it too.
    const reachesPooler = !readsPooler({ pooling }) && targetMatcher(targetModules)("pooler.dense");
    return reachesPooler ? { ...spec, targetModules: [...sites] } : spec;
  }
  const moved = withMovedPatterns(spec, sites, "", prefix);
  if (typeof targetModules !== "string" || isAllLinear(targetModules)) return moved;
  return { ...moved, targetModules: prefixPattern(targetModules, prefix) };
}

/**
 * Whether peft finds targets by `layers_to_transform`. It takes a list of ends alone, and a layer's number behind two
 * names alone, which a decoder without a head does not have; full paths it takes as they are.
 */
function canCountLayers(
  targets: LoraSpec["targetModules"],
  sites: ReadonlySet<string>,
  prefix: string,
): boolean {
  return typeof targets !== "string" && [...sites].every((site) => /\.[^.]*\.\d+\./.test(prefix + site));
}

function withPrefix(sites: ReadonlySet<string>, prefix: string): string[] {
  return Array.from(sites, (site) => prefix + site);
}

/**
 * The spec in AutoModel's paths.
 * @param sites what the file has LoRA tensors for, in AutoModel's paths
 * @param prefix what stands before these paths in the file; may be empty
 */
export function specFromFile(config: LoraConfig, sites: ReadonlySet<string>, prefix: string): LoraSpec {
  const spec = inOurPaths(config, sites, prefix);
  // peft adapts what a target names in full whatever its layer.
  const beyond = [...sites].some((site) => !inLayers(spec, site));
  if (!config.narrowed && !beyond) return spec;
  const { layers: _, ...unlayered } = spec;
  return { ...unlayered, targetModules: [...sites] };
}

function inOurPaths(config: LoraConfig, sites: ReadonlySet<string>, prefix: string): LoraSpec {
  const spec = prefix === "" ? config.spec : withMovedPatterns(config.spec, sites, prefix, "");
  const { targetModules } = spec;
  if (prefix === "") return spec;
  if (typeof targetModules !== "string") {
    const bare = (name: string) => (name.startsWith(prefix) ? name.slice(prefix.length) : name);
    return { ...spec, targetModules: targetModules.map(bare) };
  }
  if (isAllLinear(targetModules)) return spec;
  return { ...spec, targetModules: unprefixPattern(targetModules, prefix) ?? [...sites] };
}
