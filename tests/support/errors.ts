/** What an action is refused with. */
import { AccreteError, ConfigError, type ConfigIssue } from "../../src/core/errors.ts";

/** The error of ours that a promise ends with. */
export async function failureOf(promise: Promise<unknown>): Promise<AccreteError> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof AccreteError) return error;
  throw error ?? new TypeError("nothing was refused");
}

/** Message and hint of the error of ours that a promise ends with. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  const { message, hint = "" } = await failureOf(promise);
  return `${message} ${hint}`;
}

/** The issues of the ConfigError that `action` must throw. */
export async function issuesOf(action: () => unknown): Promise<readonly ConfigIssue[]> {
  const error = await failureOf(Promise.resolve().then(action));
  if (error instanceof ConfigError) return error.issues;
  throw error;
}
