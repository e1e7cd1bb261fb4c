/** Loading a configuration of the original: its YAML file, its flags, and our own overrides on top. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadExtensions } from "../../config/extensions.ts";
import { type ResolvedConfig, readYaml, resolveConfig } from "../../config/load.ts";
import { type AppliedOverride, applyOverrides, type Override } from "../../config/overrides.ts";
import { ConfigError, type ConfigIssue } from "../../core/errors.ts";
import { CONTINUAL_CONFIG, readDatasetName } from "../../data/continual.ts";
import { isWordLevel } from "../../data/continualWords.ts";
import { type FlagName, flagMeanings, isFlag, type OriginalValues } from "./flags.ts";
import { collectFlags, nameFlag, parseWords, readValues, type SetFlags, unusedFlags } from "./readFlags.ts";
import { flagBehind, translate } from "./translate.ts";

export interface OriginalSource {
  /** The YAML file; `None`, as in the original, for flags alone. */
  readonly file: string;
  readonly words: readonly string[];
  readonly faithful: boolean;
}

export interface LoadedOriginal {
  readonly config: ResolvedConfig;
  /** Flags from the command line as they were typed, and what of the file they beat. */
  readonly typed: readonly string[];
  readonly overrides: readonly AppliedOverride[];
  readonly inFile: number;
  readonly deviations: readonly string[];
  readonly warnings: readonly string[];
  /** Whether adapters are to be saved in the original's folders too. */
  readonly savesCheckpoints: boolean;
}

function fail(place: string, issues: readonly ConfigIssue[]): never {
  throw new ConfigError(`${place}: ${issues.length === 1 ? "1 problem" : `${issues.length} problems`}`, {
    issues,
    hint: "docs/original.md lists the flags and what becomes of them.",
  });
}

function describeTyped({ flags }: SetFlags): string[] {
  return [...flags.values()]
    .filter(({ source }) => source === "command line")
    .map(({ written, replaced }) =>
      replaced === undefined
        ? written
        : `${written} (the file says ${String(replaced)}; the command line wins)`,
    );
}

function describeUnused(set: SetFlags): string[] {
  const unused = unusedFlags(set);
  const methods = [...new Set(set.others.map(({ method }) => method))];
  return [
    ...(unused.length === 0 ? [] : [`of no concern here: ${unused.join(", ")}`]),
    ...methods.map((method) => {
      const flags = set.others.filter((other) => other.method === method).map(({ written }) => written);
      return `of no concern here, as only the method ${method} reads them: ${flags.join(", ")}`;
    }),
  ];
}

const booleans = [
  "is_replay",
  "is_probing",
  "save_ckpt",
  "backbone_random_init",
] as const satisfies readonly FlagName[];

function describeBooleans({ flags }: SetFlags, values: OriginalValues): string[] {
  return booleans
    .filter((name) => flags.get(name)?.source === "command line" && !values[name])
    .map((name) => `${flags.get(name)?.written} is false here; the original takes any text for true.`);
}

/** The refusals of our own schema name the flag that led to them. */
function nameRefusals(
  error: ConfigError,
  set: SetFlags,
  values: OriginalValues,
  overrides: readonly Override[],
): ConfigIssue[] {
  return error.issues.map((issue) => {
    const isOverridden = overrides.some(({ key }) => issue.path === key || issue.path.startsWith(`${key}.`));
    const flag = flagBehind(issue, flagMeanings);
    if (isOverridden || flag === undefined || !isFlag(flag)) return issue;
    return { ...issue, path: `${nameFlag(flag, set, values)}, our ${issue.path}` };
  });
}

/**
 * Reads the original's flags and translates them. The command line beats the file; our own overrides beat both.
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
  const set = collectFlags(file, typed);
  const { values, issues: outOfRange } = readValues(set);
  if (values === undefined || outOfRange.length > 0) fail(place, outOfRange);
  // A folder of the two-file layout: as it is named, or below `./dataset` as in the original.
  const folders = [resolve(values.dataset), resolve("dataset", values.dataset)];
  const dataFolder = folders.find((each) => existsSync(join(each, CONTINUAL_CONFIG)));
  const translation = translate(values, {
    dataFolder: dataFolder ?? resolve(values.dataset),
    wordLevel: dataFolder !== undefined && (await isWordLevel(dataFolder)),
    recorded: dataFolder === undefined ? undefined : await readDatasetName(dataFolder),
    ...(flagsAlone ? {} : { file: source.file }),
    faithful: source.faithful,
    explicit: new Set(set.flags.keys()),
  });
  const { raw, applied, issues } = applyOverrides(translation.raw, overrides);
  await loadExtensions(raw, process.cwd());
  const missing = {
    path: nameFlag("dataset", set, values),
    expected: `a folder with ${CONTINUAL_CONFIG}, which accrete prepare makes`,
    received: `none at ${folders.join(" or ")}`,
  };
  const earlier: readonly ConfigIssue[] = [
    ...translation.issues.map(({ flag, ...issue }) => ({ path: nameFlag(flag, set, values), ...issue })),
    ...(dataFolder === undefined ? [missing] : []),
    ...issues,
  ];
  const resolved = (): ResolvedConfig => {
    try {
      return resolveConfig(raw, process.cwd(), place, earlier);
    } catch (cause) {
      if (!(cause instanceof ConfigError)) throw cause;
      const refusals = nameRefusals(cause, set, values, overrides);
      return fail(place, [...earlier, ...refusals.slice(earlier.length)]);
    }
  };
  return {
    config: resolved(),
    typed: describeTyped(set),
    overrides: applied,
    inFile: Object.keys(file).length,
    deviations: [...translation.deviations, ...describeBooleans(set, values)],
    warnings: describeUnused(set),
    savesCheckpoints: values.save_ckpt,
  };
}
