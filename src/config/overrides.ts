/** Settings from the command line that beat the file: `--set training.epochs=5`. */
import { parseDocument } from "yaml";
import { ConfigError, type ConfigIssue } from "../core/errors.ts";
import { describe, isRecord } from "./issues.ts";

/** A setting that is given beside a file, as `--set key=value` gives it. */
export interface Override {
  /** Dotted path of the key: `training.epochs`. */
  readonly key: string;
  readonly value: unknown;
  /** Who said so, as it is to be shown: `--set`, `--out`. */
  readonly source: string;
}

/** An override with what it replaced. */
export interface AppliedOverride extends Override {
  /** What the file said; undefined where it said nothing. */
  readonly replaced: unknown;
}

/**
 * Reads `a.b=value`; the value is YAML: `3`, `true`, `null`, `text`, `[a, b]`, `{ kind: cosine }`.
 * @throws ConfigError where there is no `=`, an empty key, or broken YAML.
 */
export function parseOverride(text: string, source = "--set"): Override {
  const at = text.indexOf("=");
  const key = at < 0 ? text.trim() : text.slice(0, at).trim();
  if (at < 0 || key === "" || key.split(".").includes("")) {
    throw new ConfigError(`${source} ${text}: expected key=value`, {
      hint: `For example: ${source} training.epochs=5`,
    });
  }
  const document = parseDocument(text.slice(at + 1), { version: "1.2" });
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new ConfigError(
      `${source} ${text}: the value is not valid YAML: ${problem.message.split("\n")[0]}`,
    );
  }
  const value: unknown = document.toJS();
  return { key, value, source };
}

type Tree = Readonly<Record<string, unknown>>;
type SetResult = { readonly tree: Tree } | { readonly issue: ConfigIssue };

/** Settings of which a name alone is short for a mapping with that kind. */
const named: ReadonlySet<string> = new Set(["router", "head", "method.selector"]);

function setAt(tree: Tree, keys: readonly string[], value: unknown, parent: string): SetResult {
  const [key = "", ...rest] = keys;
  const path = parent === "" ? key : `${parent}.${key}`;
  if (rest.length === 0) return { tree: { ...tree, [key]: value } };
  const inner = Object.hasOwn(tree, key) ? (tree[key] ?? {}) : {};
  if (!isRecord(inner)) {
    const kind = named.has(path) ? `: write ${path}.kind in place of ${path}` : "";
    const expected = `a mapping, so that ${rest.join(".")} can be set in it${kind}`;
    return { issue: { path, expected, received: describe(inner) } };
  }
  const result = setAt(inner, rest, value, path);
  return "issue" in result ? result : { tree: { ...tree, [key]: result.tree } };
}

function getAt(tree: unknown, keys: readonly string[]): unknown {
  let value = tree;
  for (const key of keys) value = isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}

/**
 * Lays overrides over a raw configuration, later ones over earlier ones.
 * @returns the new raw configuration, what was replaced, and overrides that have no place to go.
 */
export function applyOverrides(
  raw: Tree,
  overrides: readonly Override[],
): {
  readonly raw: Tree;
  readonly applied: readonly AppliedOverride[];
  readonly issues: readonly ConfigIssue[];
} {
  let tree = raw;
  const applied: AppliedOverride[] = [];
  const issues: ConfigIssue[] = [];
  for (const override of overrides) {
    const keys = override.key.split(".");
    const replaced = getAt(tree, keys);
    const result = setAt(tree, keys, override.value, "");
    if ("issue" in result) {
      issues.push(result.issue);
    } else {
      tree = result.tree;
      applied.push({ ...override, replaced });
    }
  }
  return { raw: tree, applied, issues };
}

/** `training.epochs = 5 (--set; the file says 3)`. */
export function formatOverride(override: AppliedOverride): string {
  const was = override.replaced === undefined ? "" : `; the file says ${JSON.stringify(override.replaced)}`;
  return `${override.key} = ${JSON.stringify(override.value)} (${override.source}${was})`;
}
