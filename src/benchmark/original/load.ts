/** Loading a configuration of the original: its YAML file, its flags, and our own overrides on top. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadExtensions } from "../../config/extensions.ts";
import { type ResolvedConfig, readYaml, resolveConfig } from "../../config/load.ts";
import { type AppliedOverride, applyOverrides, type Override } from "../../config/overrides.ts";
import { ConfigError, type ConfigIssue } from "../../core/errors.ts";
import { CONTINUAL_CONFIG } from "../../data/continual.ts";
import { isWordLevel } from "../../data/continualWords.ts";
import { type FlagName, flagMeanings, isFlag, type OriginalValues } from "./flags.ts";
import { collectGiven, type Given, nameFlag, parseWords, readValues, unusedFlags } from "./given.ts";
import { flagBehind, translate } from "./translate.ts";

export interface OriginalSource {
  /** The YAML file; `None`, as in the original, for flags alone. */
  readonly file: string;
  /** What was typed behind, flag by flag. */
  readonly words: readonly string[];
  readonly faithful: boolean;
}

/** A folder of the two-file layout: as it is named, or below `./dataset` as in the original. */
function findData(dataset: string): { readonly folder: string } | { readonly looked: readonly string[] } {
  const looked = [resolve(dataset), resolve("dataset", dataset)];
  const folder = looked.find((each) => existsSync(join(each, CONTINUAL_CONFIG)));
  return folder === undefined ? { looked } : { folder };
}

/** What the translation needs of the files, and what to say where they are not there. */
async function lookAround(
  values: OriginalValues,
  given: Given,
): Promise<{
  readonly dataFolder: string;
  readonly wordLevel: boolean;
  readonly issues: readonly ConfigIssue[];
}> {
  const found = findData(values.dataset);
  if ("folder" in found) {
    const wordLevel = await isWordLevel(found.folder);
    return { dataFolder: found.folder, wordLevel, issues: [] };
  }
  const issue = {
    path: nameFlag("dataset", given, values),
    expected: `a folder with ${CONTINUAL_CONFIG}, which accrete prepare makes`,
    received: `none at ${found.looked.join(" or ")}`,
  };
  return { dataFolder: resolve(values.dataset), wordLevel: false, issues: [issue] };
}

export interface LoadedOriginal {
  readonly config: ResolvedConfig;
  /** Flags from the command line as they were typed, and what of the file they beat. */
  readonly typed: readonly string[];
  readonly overrides: readonly AppliedOverride[];
  /** Settings in the file. */
  readonly inFile: number;
  readonly deviations: readonly string[];
  /** Flags that have no part here, one sentence each. */
  readonly warnings: readonly string[];
  /** Whether adapters are to be saved in the original's folders too. */
  readonly savesCheckpoints: boolean;
}

function countProblems(issues: readonly ConfigIssue[]): string {
  return issues.length === 1 ? "1 problem" : `${issues.length} problems`;
}

function fail(place: string, issues: readonly ConfigIssue[]): never {
  throw new ConfigError(`${place}: ${countProblems(issues)}`, {
    issues,
    hint: "docs/original.md lists the flags and what becomes of them.",
  });
}

function tellTyped(given: Given): string[] {
  return [...given.flags.values()]
    .filter(({ source }) => source === "command line")
    .map(({ written, replaced }) =>
      replaced === undefined
        ? written
        : `${written} (the file says ${String(replaced)}; the command line wins)`,
    );
}

function tellUnused(given: Given): string[] {
  const unused = unusedFlags(given);
  const warnings = unused.length === 0 ? [] : [`of no concern here: ${unused.join(", ")}`];
  const methods = [...new Set(given.others.map(({ method }) => method))];
  for (const method of methods) {
    const flags = given.others.filter((other) => other.method === method).map(({ written }) => written);
    warnings.push(`of no concern here, as only the method ${method} reads them: ${flags.join(", ")}`);
  }
  return warnings;
}

/** Boolean flags that change a run. */
const booleans = [
  "is_replay",
  "is_probing",
  "save_ckpt",
  "backbone_random_init",
] as const satisfies readonly FlagName[];

function tellBooleans(given: Given, values: OriginalValues): string[] {
  return booleans
    .filter((name) => given.flags.get(name)?.source === "command line" && !values[name])
    .map((name) => `${given.flags.get(name)?.written} is false here; the original takes any text for true.`);
}

/** The refusals of our own schema name the flag that led to them. */
function nameRefusals(
  error: ConfigError,
  given: Given,
  values: OriginalValues,
  overrides: readonly Override[],
): ConfigIssue[] {
  return error.issues.map((issue) => {
    const set = overrides.some(({ key }) => issue.path === key || issue.path.startsWith(`${key}.`));
    const flag = flagBehind(issue, flagMeanings);
    if (set || flag === undefined || !isFlag(flag)) return issue;
    return { ...issue, path: `${nameFlag(flag, given, values)}, our ${issue.path}` };
  });
}

/**
 * Reads the original's flags and translates them. The command line beats the file; our own overrides beat both.
 *
 * @param source paths are relative to the working directory, as in the original
 * @throws ConfigError with every problem at once, each by the flag it came from
 */
export async function loadOriginal(
  source: OriginalSource,
  overrides: readonly Override[] = [],
): Promise<LoadedOriginal> {
  const flagsAlone = source.file === "None";
  const file = flagsAlone ? {} : await readYaml(resolve(source.file));
  const place = flagsAlone ? "the original's flags" : source.file;
  const { flags: typed, stray } = parseWords(source.words);
  if (stray.length > 0)
    throw new ConfigError(`${stray.join(" ")}: a configuration and --cfg at once`, {
      hint: "With --cfg, everything is a flag: --name value.",
    });
  const given = collectGiven(file, typed);
  const { values, issues: outOfRange } = readValues(given);
  if (values === undefined || outOfRange.length > 0) fail(place, outOfRange);
  const { issues: missing, ...around } = await lookAround(values, given);
  const translation = translate(values, {
    ...around,
    ...(flagsAlone ? {} : { file: source.file }),
    faithful: source.faithful,
    given: new Set(given.flags.keys()),
  });
  const refused = translation.issues.map(({ flag, ...issue }) => ({
    path: nameFlag(flag, given, values),
    ...issue,
  }));
  const { raw, applied, issues } = applyOverrides(translation.raw, overrides);
  await loadExtensions(raw, process.cwd());
  const config = ((): ResolvedConfig => {
    const earlier = [...refused, ...missing, ...issues];
    try {
      return resolveConfig(raw, process.cwd(), place, earlier);
    } catch (cause) {
      if (!(cause instanceof ConfigError)) throw cause;
      return fail(place, [
        ...earlier,
        ...nameRefusals(cause, given, values, overrides).slice(earlier.length),
      ]);
    }
  })();
  return {
    config,
    typed: tellTyped(given),
    overrides: applied,
    inFile: Object.keys(file).length,
    deviations: [...translation.deviations, ...tellBooleans(given, values)],
    warnings: tellUnused(given),
    savesCheckpoints: values.save_ckpt,
  };
}
