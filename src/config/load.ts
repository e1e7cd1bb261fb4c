import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, resolve } from "node:path";
import { parseDocument, stringify } from "yaml";
import { ConfigError, type ConfigIssue, messageOf } from "../core/errors.ts";
import { resolveStreamPaths } from "../data/streamSpec.ts";
import { sha256Json } from "../io/hash.ts";
import { checkArguments } from "./arguments.ts";
import { loadExtensions, resolveExtensions } from "./extensions.ts";
import { describe, isRecord, toConfigIssues } from "./issues.ts";
import { type AppliedOverride, applyOverrides, type Override } from "./overrides.ts";
import { resolvePath } from "./paths.ts";
import { configSchema, type ResolvedConfig } from "./schema.ts";

export type { ResolvedConfig } from "./schema.ts";

/** A configuration that was read from a file, with where each setting came from. */
export interface LoadedConfig {
  readonly config: ResolvedConfig;
  /** The file, absolute. */
  readonly path: string;
  readonly overrides: readonly AppliedOverride[];
  /** Where each setting came from: `file`, `default`, or an override's source such as `--set`. */
  readonly provenance: ReadonlyMap<string, string>;
}

type Tree = Readonly<Record<string, unknown>>;

/** Keys whose values are paths: relative to the YAML inside it, to the working directory on the command line. */
export const pathKeys: readonly string[] = [
  "out",
  "stream.train",
  "stream.validation",
  "stream.test",
  "stream.outOfScope",
  "stream.path",
  "stream.domains",
  "extensions",
];

const hubId = /^[A-Za-z0-9][\w.-]*(\/[\w.-]+)?$/;

/** A path becomes absolute; what neither exists nor looks like a path is a hub id and stays as it is. */
export function resolveBackbone(source: string, baseDir: string): string {
  const looksLikePath = isAbsolute(source) || /^(\.{1,2}|~)($|[\\/])/.test(source);
  if (!looksLikePath && !existsSync(resolve(baseDir, source)) && hubId.test(source)) return source;
  return resolvePath(source, baseDir);
}

/** Larger ones are no configuration. */
const largestYamlBytes = 16 * 2 ** 20;

/** @throws ConfigError where the text is nested too deeply, or its aliases grow beyond measure */
function parseYaml(text: string, path: string) {
  try {
    if (text.length > largestYamlBytes)
      throw new RangeError(`has ${text.length} characters, at most ${largestYamlBytes} are read`);
    const document = parseDocument(text, { version: "1.2" });
    const value: unknown = document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 100 });
    return { document, value };
  } catch (cause) {
    throw new ConfigError(`${path}: cannot be read as YAML: ${messageOf(cause)}`, {
      cause,
      hint: "A configuration is nested a few levels deep, and needs no aliases.",
    });
  }
}

/** @throws ConfigError if the file cannot be read, is no YAML, or no mapping */
export async function readYaml(path: string): Promise<Tree> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    if (cause instanceof TypeError)
      throw new ConfigError(`${path}: the file is not UTF-8`, {
        cause,
        hint: "Convert it, e.g. `iconv -f latin1 -t utf-8 old > new` if it is Latin-1.",
      });
    throw new ConfigError(`${path}: cannot be read: ${messageOf(cause)}`, {
      cause,
      hint: "Give the path of a YAML file; configs/example.yaml is one to start from.",
    });
  }
  const { document, value } = parseYaml(text, path);
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const issues = problems.map((problem) => ({
      path: `line ${problem.linePos?.[0].line ?? "?"}`,
      expected: "valid YAML",
      received: problem.message.split(" at line ")[0] ?? problem.message,
    }));
    throw new ConfigError(`${path}: the file is not valid YAML`, { issues });
  }
  if (!isRecord(value)) {
    const issues = [
      { path: "(file)", expected: "a mapping of settings", received: describe(value ?? undefined) },
    ];
    throw new ConfigError(`${path}: this is no configuration`, { issues });
  }
  return value;
}

/** Paths in an override are relative to where the command was typed, not to the YAML. */
function anchorOverride(override: Override, cwd: string): Override {
  const anchor = (key: string, value: unknown): unknown => {
    if (isRecord(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([name, each]) => [name, anchor(`${key}.${name}`, each)]),
      );
    }
    if (Array.isArray(value)) return value.map((each: unknown) => anchor(key, each));
    if (typeof value !== "string") return value;
    if (key === "backbone") return resolveBackbone(value, cwd);
    return pathKeys.includes(key) ? resolvePath(value, cwd) : value;
  };
  return { ...override, value: anchor(override.key, override.value) };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}

/**
 * Checks a raw configuration and makes its paths absolute. Extensions are not imported: register first what they would.
 * @param raw what a YAML file holds
 * @param baseDir folder that relative paths start from
 * @param from how messages name the place, e.g. the file
 * @throws ConfigError with every problem at once
 */
export function resolveConfig(
  raw: unknown,
  baseDir: string,
  from = "configuration",
  earlier: readonly ConfigIssue[] = [],
): ResolvedConfig {
  checkArguments("resolveConfig", { raw, baseDir, from });
  const parsed = configSchema.safeParse(raw);
  const issues = parsed.success ? [] : toConfigIssues(configSchema, raw, parsed.error);
  const all = [...earlier, ...issues];
  if (!parsed.success || all.length > 0) {
    const problems = all.length === 1 ? "1 problem" : `${all.length} problems`;
    throw new ConfigError(`${from}: ${problems}`, { issues: all });
  }
  const config = parsed.data;
  return deepFreeze({
    ...config,
    backbone: resolveBackbone(config.backbone, baseDir),
    ...resolveExtensions(config, baseDir),
    stream: resolveStreamPaths(config.stream, baseDir),
    out: resolvePath(config.out, baseDir),
  });
}

/**
 * Reads a YAML configuration; overrides beat the file, later ones the earlier.
 * @param path the file, relative to the working directory
 * @param anchor folder that relative paths in overrides start from
 * @throws ConfigError with every problem at once: unreadable, not YAML, keys twice, unknown, or out of range
 */
export async function loadConfig(
  path: string,
  overrides: readonly Override[] = [],
  anchor: string = process.cwd(),
): Promise<LoadedConfig> {
  checkArguments("loadConfig", { path, overrides });
  const file = resolve(path);
  const raw = await readYaml(file);
  const anchored = overrides.map((override) => anchorOverride(override, anchor));
  const { raw: merged, applied, issues } = applyOverrides(raw, anchored);
  await loadExtensions(merged, dirname(file));
  const config = resolveConfig(merged, dirname(file), path, issues);
  return { config, path: file, overrides: applied, provenance: traceSettings(config, raw, applied) };
}

function covers(key: string, setting: string): boolean {
  return setting === key || setting.startsWith(`${key}.`) || key.startsWith(`${setting}.`);
}

function traceSettings(
  config: ResolvedConfig,
  raw: Tree,
  overrides: readonly AppliedOverride[],
): ReadonlyMap<string, string> {
  const fromFile = Object.keys(flatten(raw));
  const trace = new Map<string, string>();
  for (const setting of Object.keys(flattenConfig(config))) {
    const override = overrides.findLast((each) => covers(each.key, setting));
    const inFile = fromFile.some((key) => covers(key, setting));
    trace.set(setting, override?.source ?? (inFile ? "file" : "default"));
  }
  return trace;
}

function flatten(tree: Tree, prefix = ""): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(tree)) {
    if (value === undefined) continue;
    const path = `${prefix}${key}`;
    if (isRecord(value)) Object.assign(settings, flatten(value, `${path}.`));
    else settings[path] = value;
  }
  return settings;
}

/** One entry a setting: `method.rank` → 4. Lists stay whole. */
export function flattenConfig(config: ResolvedConfig): Readonly<Record<string, unknown>> {
  return flatten({ ...config });
}

/** The resolved configuration as YAML; `loadConfig` of it gives the same configuration. */
export function toResolvedYaml(config: ResolvedConfig): string {
  return stringify(config, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function compareSettings(a: object, b: object) {
  const [left, right] = [flatten({ ...a }), flatten({ ...b })];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])]
    .filter((key) => JSON.stringify(left[key]) !== JSON.stringify(right[key]))
    .sort()
    .map((path) => ({ path, expected: describe(right[path]), received: describe(left[path]) }));
}

/** Settings in which two configurations differ; `out` does not count, a run may lie anywhere. */
export function differingKeys(a: ResolvedConfig, b: ResolvedConfig): string[] {
  return compareSettings(a, b).flatMap(({ path }) => (path === "out" ? [] : path));
}

/**
 * Settings that were given and that differ from those that stand; what was not given does not count.
 * @param given as written
 * @param asked the same, with defaults
 */
export function contradictions(given: Tree, asked: object, standing: object): readonly ConfigIssue[] {
  const keys = Object.keys(flatten(given));
  return compareSettings(asked, standing).filter(({ path }) => keys.some((key) => covers(key, path)));
}

/**
 * Whether a configuration is one that `loadConfig` or `resolveConfig` gave.
 * @throws ConfigError with every problem, or naming the settings that are not filled in
 */
export function checkResolved(config: ResolvedConfig, what: string): void {
  const resolved = resolveConfig(config, process.cwd(), what);
  const open = compareSettings(config, resolved).filter(({ path }) => path !== "backbone" && path !== "out");
  if (open.length > 0)
    throw new ConfigError(`${what}: the configuration is not resolved`, {
      issues: open.slice(0, 3),
      hint: "Resolve it first: resolveConfig(config, folder), or loadConfig(file).",
    });
}

/** SHA-256 over all settings but `out`, hex: equal exactly where `differingKeys` finds nothing. */
export function hashConfig(config: ResolvedConfig): string {
  const { out: _, ...settings } = flattenConfig(config);
  return sha256Json(settings);
}
