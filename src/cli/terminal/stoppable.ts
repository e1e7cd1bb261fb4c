import { StoppedError } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";

/**
 * Changes a store so that Ctrl-C stops it between two steps, with every file whole.
 * @param command how the message begins
 * @throws StoppedError where it was interrupted
 */
export async function stoppable(
  command: string,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError(`${command}: stopped; nothing was changed`, "Type the same command again.");
  }
}
