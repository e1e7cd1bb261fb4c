import { StoppedError } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";

/**
 * Does work that Ctrl-C stops between two steps, with every file whole.
 * @param command how the message begins
 * @throws StoppedError where it was interrupted
 */
export async function stoppable(
  command: string,
  work: (signal: AbortSignal) => Promise<void>,
  message = `${command}: stopped; nothing was changed`,
  hint = "Type the same command again.",
): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError(message, hint);
  }
}
