/** What an action is refused with. */
import { AccreteError, ConfigError, type ConfigIssue } from "../../src/core/errors.ts";

type Kind<E> = abstract new (...args: never[]) => E;

/** The error that a promise ends with. @param of its class, any error of ours unless said otherwise */
export async function failureOf(promise: Promise<unknown>): Promise<AccreteError>;
export async function failureOf<E extends AccreteError>(promise: Promise<unknown>, of: Kind<E>): Promise<E>;
export async function failureOf(
  promise: Promise<unknown>,
  of: Kind<AccreteError> = AccreteError,
): Promise<AccreteError> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof of) return error;
  throw error ?? new TypeError("nothing was refused");
}

/** Message and hint of the error that a promise ends with. */
export async function refusalOf(
  promise: Promise<unknown>,
  of: Kind<AccreteError> = AccreteError,
): Promise<string> {
  const { message, hint = "" } = await failureOf(promise, of);
  return `${message} ${hint}`;
}

/** The issues of the ConfigError that `action` must throw. */
export async function issuesOf(action: () => unknown): Promise<readonly ConfigIssue[]> {
  return (await failureOf(Promise.resolve().then(action), ConfigError)).issues;
}
