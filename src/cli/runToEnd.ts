import type { ResolvedConfig } from "../app/config.ts";
import { StoppedError } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";
import { ProgressPrinter } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Runs one experiment to its end and tells how it goes.
 * @param resumeCommand what to type to go on after an interruption
 * @throws StoppedError where it was interrupted
 */
export async function runToEnd(
  config: ResolvedConfig,
  options: { readonly resume?: boolean; readonly quiet?: boolean; readonly resumeCommand: string },
  terminal: Terminal,
): Promise<void> {
  const { runExperiment } = await import("../app/runExperiment.ts");
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const progress = new ProgressPrinter(terminal);
  try {
    for await (const event of runExperiment(config, { resume: options.resume ?? false, signal })) {
      if (options.quiet !== true) progress.print(event);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
  }
  if (signal.aborted) {
    await interrupt.outlastTwin();
    throw new StoppedError(
      "stopped; every task learned so far is saved",
      `Go on with: ${options.resumeCommand}`,
    );
  }
}
