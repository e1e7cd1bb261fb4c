/** Synchronous work that may never end: matching with patterns of strangers. */
import { createContext, Script } from "node:vm";

const watched: { work: () => void } = { work: () => {} };
const context = createContext(watched);
const watch = new Script("work()");

/** An error of another realm is no instance of ours. */
function isTimeout(cause: unknown): boolean {
  return (
    typeof cause === "object" &&
    cause !== null &&
    "code" in cause &&
    cause.code === "ERR_SCRIPT_EXECUTION_TIMEOUT"
  );
}

/**
 * Runs `work`, and stops it after so long, JavaScript and WebAssembly alike. It costs about a tenth of a millisecond.
 * @returns undefined where it was stopped: what it was in the middle of is in no state to go on with
 */
export function runBefore<T>(deadlineMs: number, work: () => T): { readonly value: T } | undefined {
  let done: { readonly value: T } | undefined;
  watched.work = () => {
    done = { value: work() };
  };
  try {
    watch.runInContext(context, { timeout: deadlineMs });
  } catch (cause) {
    if (!isTimeout(cause)) throw cause;
    return undefined;
  }
  return done;
}
