import { resolve } from "node:path";
import { loadConfig, type ResolvedConfig } from "../../config/load.ts";
import { formatOverride, type Override, parseOverride } from "../../config/overrides.ts";
import type { TaskPart } from "../../experiment/pieces.ts";
import { UsageError } from "../terminal/failure.ts";
import { type RunToEndOptions, runToEnd } from "../terminal/runToEnd.ts";
import { quote, shortPath } from "../terminal/shell.ts";
import { stoppable } from "../terminal/stoppable.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface RunFlags {
  /** A YAML file of the original's flags, in place of a configuration. */
  readonly cfg?: string;
  readonly faithful?: boolean;
  readonly set?: readonly string[];
  readonly resume?: boolean;
  readonly adaptersFrom?: string;
  readonly out?: string;
  readonly seeds?: string;
  readonly profile?: boolean;
  readonly tasks?: number;
  readonly piece?: number;
  readonly part?: TaskPart;
  readonly pieces?: string;
  readonly asked?: boolean;
  readonly validate?: boolean;
  readonly at?: readonly string[];
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** The port of a page that shows the run; 0: any that is free. */
  readonly ui?: number;
}

function collectOverrides(flags: Pick<RunFlags, "set" | "out">): Override[] {
  const overrides = (flags.set ?? []).map((text) => parseOverride(text));
  if (flags.out !== undefined) overrides.push({ key: "out", value: flags.out, source: "--out" });
  return overrides;
}

function parseSeeds(text: string): number[] {
  const seeds = text.split(",").map((part) => part.trim());
  const numbers = seeds.map(Number);
  if (seeds.some((seed) => !/^\d+$/.test(seed)) || numbers.some((seed) => !Number.isSafeInteger(seed))) {
    throw new UsageError(`--seeds ${text}: expected whole numbers with commas between them`, {
      hint: "For example: --seeds 1,2,3",
    });
  }
  if (new Set(numbers).size < numbers.length) {
    throw new UsageError(`--seeds ${text}: the same seed twice`);
  }
  return numbers;
}

/** @returns absolute paths by key */
function parsePlaces(texts: readonly string[]): Readonly<Record<string, string>> {
  const places = texts.map((text) => {
    const at = text.indexOf("=");
    if (at > 0 && at < text.length - 1) return [text.slice(0, at), resolve(text.slice(at + 1))] as const;
    throw new UsageError(`--at ${text}: expected key=path`, {
      hint: "For example: --at backbone=/models/minilm-l6",
    });
  });
  return Object.fromEntries(places);
}

/** A configuration of either kind, with what is to be said of it. */
interface Announced {
  readonly config: ResolvedConfig;
  readonly lines: readonly string[];
  readonly afterTask?: (out: string) => Promise<void>;
}

type Load = (overrides: readonly Override[]) => Promise<Announced>;

function loadOurs(path: string): Load {
  return async (overrides) => {
    const loaded = await loadConfig(path, overrides);
    const sources = [...loaded.provenance.values()];
    const count = (wanted: string) => sources.filter((source) => source === wanted).length;
    return {
      config: loaded.config,
      lines: [
        `${shortPath(loaded.path)}: ${count("file")} settings from the file, ${count("default")} defaults`,
        ...loaded.overrides.map((override) => `set ${formatOverride(override)}`),
      ],
    };
  };
}

function loadTheirs(file: string, words: readonly string[], faithful: boolean): Load {
  return async (overrides) => {
    const { loadOriginal } = await import("../../benchmark/original/load.ts");
    const { exportTaskFolders } = await import("../../benchmark/original/checkpoints.ts");
    const loaded = await loadOriginal({ file, words, faithful }, overrides);
    return {
      config: loaded.config,
      lines: [
        `${file}: ${loaded.inFile} flags of the original from the file, ${loaded.typed.length} from the command line`,
        ...loaded.typed,
        ...loaded.overrides.map((override) => `set ${formatOverride(override)}`),
        ...loaded.warnings,
        ...loaded.deviations.map((deviation) => `differs from the original: ${deviation}`),
      ],
      ...(loaded.savesCheckpoints ? { afterTask: exportTaskFolders } : {}),
    };
  };
}

function resumeCommand(configWords: readonly string[], flags: RunFlags): string {
  const words = ["accrete run", ...configWords.map(quote)];
  for (const text of flags.set ?? []) words.push(`--set ${quote(text)}`);
  if (flags.out !== undefined) words.push(`--out ${quote(flags.out)}`);
  if (flags.adaptersFrom !== undefined) words.push(`--adapters-from ${quote(flags.adaptersFrom)}`);
  if (flags.seeds !== undefined) words.push(`--seeds ${flags.seeds}`);
  if (flags.validate === true) words.push("--validate");
  if (flags.pieces !== undefined) words.push(`--pieces ${quote(flags.pieces)}`);
  for (const text of flags.at ?? []) words.push(`--at ${quote(text)}`);
  return [...words, "--resume"].join(" ");
}

/** One task of the run, for another process to put together. */
async function runPiece(
  config: ResolvedConfig,
  index: number,
  {
    pieces,
    part,
    validate,
    places,
  }: Pick<RunFlags, "pieces" | "part" | "validate"> & Pick<RunToEndOptions, "places">,
): Promise<void> {
  if (pieces === undefined) throw new UsageError("--piece needs --pieces, the folder that takes it");
  const { PieceMaker, taskParts } = await import("../../experiment/pieces.ts");
  await stoppable("run", async (signal) => {
    await using maker = await PieceMaker.open(config, { places, signal });
    for (const each of part === undefined ? taskParts : [part])
      await maker.compute({ part: each, task: index }, pieces, { validate, signal });
  });
}

/** Tasks of the run, as a worker asks for them. */
async function runAsked(config: ResolvedConfig, { places }: Pick<RunToEndOptions, "places">): Promise<void> {
  const { PieceMaker } = await import("../../experiment/pieces.ts");
  const { answerRequests } = await import("../../sweep/queue/pieceProcess.ts");
  await stoppable("run", async (signal) => {
    await using maker = await PieceMaker.open(config, { places, signal });
    await answerRequests(maker, signal);
  });
}

/** @param words what the command line has beside our own flags: the configuration, or the original's flags */
export async function runCommand(
  words: readonly string[],
  flags: RunFlags,
  terminal: Terminal,
): Promise<void> {
  const [path = ""] = words;
  const { cfg, faithful = false } = flags;
  if (cfg === undefined && faithful) throw new UsageError("--faithful goes with --cfg, the original's flags");
  const load = cfg === undefined ? loadOurs(path) : loadTheirs(cfg, words, faithful);
  const given = cfg === undefined ? [path] : ["--cfg", cfg, ...words, ...(faithful ? ["--faithful"] : [])];
  const overrides = collectOverrides(flags);
  const seeds = flags.seeds === undefined ? undefined : parseSeeds(flags.seeds);
  if (seeds !== undefined && flags.profile === true)
    throw new UsageError("--profile is of one run", { hint: "Leave --seeds out." });
  const places = parsePlaces(flags.at ?? []);
  const loaded = await load(overrides);
  const again = resumeCommand(given, flags);
  if (seeds !== undefined && "out" in places)
    throw new UsageError("--at out=… goes with one run, not with --seeds");
  const options = {
    ...flags,
    places,
    resumeCommand: again,
    ...(loaded.afterTask === undefined ? {} : { afterTask: loaded.afterTask }),
  };
  if (flags.asked === true) return await runAsked(loaded.config, { places });
  if (flags.piece !== undefined) return await runPiece(loaded.config, flags.piece, { ...flags, places });
  if (flags.quiet !== true)
    for (const line of [...loaded.lines, `out ${shortPath(loaded.config.out)}`]) terminal.err(`${line}\n`);
  const run = async () => {
    if (seeds !== undefined) {
      const { runSeeds } = await import("./seeds.ts");
      const loadConfigOnly = async (all: readonly Override[]) => (await load(all)).config;
      await runSeeds(loadConfigOnly, overrides, seeds, options, terminal);
      return;
    }
    await runToEnd(loaded.config, options, terminal);
    const { printReport } = await import("./report.ts");
    await printReport(places.out ?? loaded.config.out, { json: flags.json ?? false }, terminal);
  };
  if (flags.ui === undefined) return await run();
  const { withRunPage } = await import("./runPage.ts");
  await withRunPage({ out: places.out ?? loaded.config.out, port: flags.ui }, terminal, run);
}
