import { AccreteError, ConfigError } from "../../core/errors.ts";

/** Bad usage that commander cannot see, such as `predict` without a text. */
export class UsageError extends ConfigError {}

/** The run was stopped from outside; `message` says how to go on. */
export class StoppedError extends AccreteError {
  constructor(message: string, hint: string) {
    super("STOPPED", message, { hint });
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const cause =
    error.cause === undefined ? "" : `caused by: ${stackOf(error.cause) || String(error.cause)}\n`;
  return `${error.stack ?? error.message}\n${cause}`;
}

/**
 * What the user sees: message, every issue, what to do. A stack trace only with `debug`.
 * @returns the text and the exit code: 2 for bad usage, config or data, else 1
 */
export function formatFailure(
  error: unknown,
  debug: boolean,
): { readonly text: string; readonly exitCode: 1 | 2 } {
  if (!(error instanceof Error)) return { text: `accrete: ${String(error)}\n`, exitCode: 1 };
  let text = `accrete: ${error instanceof ConfigError ? error.summary : error.message}\n`;
  if (error instanceof ConfigError) {
    for (const { path, expected, received, rule } of error.issues) {
      const wanted = rule === true ? `${expected};` : `expected ${expected},`;
      text += `  ${path || "(top level)"}: ${wanted} got ${received}\n`;
    }
  }
  // The reason below an error, where it adds something to what the error says.
  const reason = error.cause instanceof Error ? error.cause.message : "";
  if (!error.message.includes(reason)) text += `  because: ${reason.split("\n")[0]}\n`;
  if (error instanceof AccreteError && error.hint !== undefined) text += `  ${error.hint}\n`;
  if (!(error instanceof AccreteError)) text += "  Set DEBUG=accrete to see where this came from.\n";
  if (debug) text += stackOf(error);
  return { text, exitCode: error instanceof AccreteError ? error.exitCode : 1 };
}
