import type { ResolvedConfig } from "../../config/load.ts";
import { StoppedError } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";
import { ProgressPrinter } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

export interface RunToEndOptions {
  readonly resume?: boolean;
  readonly quiet?: boolean;
  /** Folder of a finished run whose adapters are taken in place of training. */
  readonly adaptersFrom?: string;
  /** What to type to go on after an interruption. */
  readonly resumeCommand: string;
  /** Called with the run folder whenever a task was saved, and once at the end: a resumed run may have missed some. */
  readonly afterTask?: (out: string) => Promise<void>;
}

/**
 * Runs one experiment to its end and tells how it goes.
 * @throws StoppedError where it was interrupted
 */
export async function runToEnd(
  config: ResolvedConfig,
  options: RunToEndOptions,
  terminal: Terminal,
): Promise<void> {
  const { runExperiment } = await import("../../experiment/runExperiment.ts");
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const progress = new ProgressPrinter(terminal);
  try {
    const { resume = false, adaptersFrom } = options;
    const given = { resume, signal, ...(adaptersFrom !== undefined && { adaptersFrom }) };
    for await (const event of runExperiment(config, given)) {
      if (options.quiet !== true) progress.print(event);
      if (event.type === "task-learned") await options.afterTask?.(config.out);
    }
    await options.afterTask?.(config.out);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
  }
  if (signal.aborted) {
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError(
      "stopped; every task learned so far is saved",
      `Go on with: ${options.resumeCommand}`,
    );
  }
}
