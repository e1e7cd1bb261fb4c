import type { RunProfile } from "../../benchmark/speed/runProfile.ts";
import type { ResolvedConfig } from "../../config/load.ts";
import { errorCode, StoreError } from "../../core/errors.ts";
import { formatCount, formatPercent, formatTable } from "./format.ts";
import { ProgressPrinter } from "./progress.ts";
import { stoppable } from "./stoppable.ts";
import type { Terminal } from "./terminal.ts";

export interface RunToEndOptions {
  readonly resume?: boolean;
  readonly quiet?: boolean;
  /** Folder of a finished run whose adapters are taken in place of training. */
  readonly adaptersFrom?: string;
  readonly profile?: boolean;
  /** Folder of the run's pieces, which it is put together of in place of training. */
  readonly pieces?: string;
  /** Stop when so many tasks are learned. */
  readonly tasks?: number;
  /** Measure each task's adapter on its validation data too. */
  readonly validate?: boolean;
  /** Where this machine has what the configuration names, by key. */
  readonly places?: Readonly<Record<string, string>>;
  /** What to type to go on after an interruption. */
  readonly resumeCommand: string;
  /** Called with the run folder whenever a task was saved, and once at the end: a resumed run may have missed some. */
  readonly afterTask?: (out: string) => Promise<void>;
}

/** The rest of them take next to nothing. */
const SHOWN_OPERATORS = 12;

/** Two tables: the run's time by part, and the engine's by operator. */
function formatProfile({ parts, operators }: RunProfile): string {
  const rowsOf = (entries: readonly (readonly [string, number])[]) => {
    const total = entries.reduce((sum, [, seconds]) => sum + seconds, 0);
    return entries.map(
      ([name, seconds]) => [name, seconds.toFixed(1), formatPercent(seconds / total)] as const,
    );
  };
  const engine = rowsOf(operators.map(({ operator, seconds }) => [operator, seconds])).map(
    (row, i) => [...row, formatCount(operators[i]?.calls ?? 0)] as const,
  );
  const byPart = formatTable(
    [["part of the run", "seconds", "share"], ...rowsOf(Object.entries(parts))],
    [1, 2],
  );
  const byOperator = formatTable(
    [["operator of the engine", "seconds", "share", "calls"], ...engine.slice(0, SHOWN_OPERATORS)],
    [1, 2, 3],
  );
  return `\n${byPart}\n${byOperator}`;
}

/** A run goes on where the disk became full; other commands are typed again. */
function withResumeHint(error: unknown): unknown {
  if (!(error instanceof StoreError) || !["ENOSPC", "EDQUOT"].includes(errorCode(error.cause) ?? ""))
    return error;
  const { message, cause } = error;
  return new StoreError(message, {
    cause,
    exitCode: 1,
    hint: "Free some space, then go on with --resume.",
  });
}

/** Runs one experiment to its end and tells how it goes. @throws StoppedError where it was interrupted */
export async function runToEnd(
  config: ResolvedConfig,
  options: RunToEndOptions,
  terminal: Terminal,
): Promise<void> {
  const { runExperiment } = await import("../../experiment/runExperiment.ts");
  const progress = new ProgressPrinter(terminal);
  const {
    resume = false,
    adaptersFrom,
    pieces,
    tasks,
    validate,
    places,
    afterTask,
    profile = false,
  } = options;
  const { PartsOfTime, writeProfile } = await import("../../benchmark/speed/runProfile.ts");
  const parts = new PartsOfTime();
  const out = places?.out ?? config.out;
  const work = async (signal: AbortSignal): Promise<void> => {
    const settings = { resume, adaptersFrom, pieces, tasks, validate, places, profile, signal };
    try {
      for await (const event of runExperiment(config, settings)) {
        if (options.quiet !== true) progress.print(event);
        parts.hear(event);
        if (event.type === "task-learned") await afterTask?.(out);
      }
      await afterTask?.(out);
      if (profile) terminal.err(formatProfile(await writeProfile(out, parts)));
      signal.throwIfAborted();
    } catch (error) {
      throw withResumeHint(error);
    } finally {
      progress.clear();
    }
  };
  const message = "stopped; every task learned so far is saved";
  await stoppable("run", work, message, `Go on with: ${options.resumeCommand}`);
}
