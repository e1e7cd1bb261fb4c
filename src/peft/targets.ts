/** Which layers an adapter sits on, by peft's rules. */
import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { type Architecture, families } from "../nn/families.ts";
import { compileFullMatch } from "./patterns.ts";

/** peft's shorthand for every linear layer below the head. */
const allLinear = "all-linear";

/** What peft adapts in a family where nobody names a layer; ours for a family that peft has no entry for. */
export function defaultTargetModules(architecture: Architecture): readonly string[] {
  return families[architecture].targets.modules;
}

/**
 * A site's value in peft's `rank_pattern` or `alpha_pattern`: that of the first pattern which matches the whole path
 * or its end after a dot.
 * @throws ConfigError if a pattern is no regular expression.
 */
export function matchPattern(
  patterns: Readonly<Record<string, number>> | undefined,
  site: string,
): number | undefined {
  for (const [pattern, value] of Object.entries(patterns ?? {}))
    if (compileFullMatch(pattern, "(?:.*\\.)?", "rank or alpha pattern")(site)) return value;
  return undefined;
}

/** The number of the layer that a module belongs to; undefined for one above or below them all. */
export function layerOf(site: string): number | undefined {
  const number = /(?:^|\.)[^.]+\.(\d+)\./.exec(site)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** peft's test of one module path: a list is exact or matches an end after a dot, a string is a full regex match. */
export function targetMatcher(targets: readonly string[] | string): (site: string) => boolean {
  if (typeof targets !== "string")
    return (site) => targets.some((target) => site === target || site.endsWith(`.${target}`));
  if (targets.toLowerCase() === allLinear) return () => true;
  return compileFullMatch(targets);
}

function noMatch(targets: readonly string[] | string, sites: readonly string[]): ConfigError {
  const ends = new Set(sites.map((site) => site.slice(site.lastIndexOf(".") + 1)));
  const wanted = typeof targets === "string" ? [targets] : targets;
  const near = wanted.flatMap((target) => nearest(target.slice(target.lastIndexOf(".") + 1), ends) ?? []);
  const guess = near.length > 0 ? `Did you mean ${[...new Set(near)].join(", ")}? ` : "";
  const rule = typeof targets === "string" ? " A string must match a layer's whole path, as a regex." : "";
  return new ConfigError(`target modules: ${JSON.stringify(targets)} matches no layer of the backbone`, {
    hint: `${guess}Layers end in: ${[...ends].join(", ")}; the first is ${sites[0] ?? "(there is none)"}.${rule}`,
  });
}

/**
 * The sites that the targets match, in the order of `sites`.
 *
 * @param sites module paths of the backbone's linear layers as AutoModel names them
 * @throws ConfigError if nothing matches (naming near misses), or a string is no regular expression.
 */
export function matchTargetModules(targets: readonly string[] | string, sites: readonly string[]): string[] {
  const matches = targetMatcher(targets);
  const found = sites.filter(matches);
  if (found.length === 0) throw noMatch(targets, sites);
  return found;
}
