/** Synchronous work that may never end: matching with patterns of strangers. */
import { builtinModule } from "./builtin.ts";

const watched: { work: () => void } = { work: () => {} };
const vm = builtinModule?.("node:vm");
const watch = vm && { script: new vm.Script("work()"), context: vm.createContext(watched) };

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
 * Runs `work`, and stops it after so long, JavaScript and WebAssembly alike. It costs about a tenth of a millisecond. A browser
 * has no such watch: there the work takes as long as it takes, and the page's user closes it.
 * @returns undefined where it was stopped: what it was in the middle of is in no state to go on with
 */
export function runBefore<T>(deadlineMs: number, work: () => T): { readonly value: T } | undefined {
  let done: { readonly value: T } | undefined;
  watched.work = () => {
    done = { value: work() };
  };
  try {
    if (watch === undefined) watched.work();
    else watch.script.runInContext(watch.context, { timeout: deadlineMs });
  } catch (cause) {
    if (!isTimeout(cause)) throw cause;
    return undefined;
  }
  return done;
}
