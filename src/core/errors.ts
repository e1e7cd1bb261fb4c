/** What every error of Accrete carries; `code` is stable, `message` says where and what, `hint` what to do. */
export interface ErrorDetails {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The base of all errors thrown by Accrete. Subclasses say which part refused. */
export class AccreteError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  /** Exit code of the command line: 2 for bad usage, config or data, 1 for anything else. */
  readonly exitCode: 1 | 2 = 1;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
  }
}

/** One problem of a configuration: where, what was expected, what stood there. */
export interface ConfigIssue {
  readonly path: string;
  readonly expected: string;
  readonly received: string;
  /** Whether what was expected is a rule between settings, in words of its own. */
  readonly rule?: true;
}

/** A configuration, the command line or an argument is wrong. Collects every problem at once; the message lists them. */
export class ConfigError extends AccreteError {
  override readonly exitCode = 2;
  readonly issues: readonly ConfigIssue[];
  /** The message without its issues, for whoever shows those line by line. */
  readonly summary: string;

  constructor(
    message: string,
    {
      issues = [],
      code = "CONFIG",
      ...details
    }: ErrorDetails & {
      readonly issues?: readonly ConfigIssue[];
      readonly code?: "CONFIG" | "ARGUMENT";
    } = {},
  ) {
    const problems = issues.map(
      ({ path, expected, received }) => `${path}: expected ${expected}, got ${received}`,
    );
    super(code, problems.length === 0 ? message : `${message}: ${problems.join("; ")}`, details);
    this.issues = issues;
    this.summary = message;
  }
}

/** A data file or a text cannot be used. */
export class DataError extends AccreteError {
  override readonly exitCode = 2;

  constructor(message: string, details?: ErrorDetails) {
    super("DATA", message, details);
  }
}

/** A model or adapter folder is missing, damaged, or does not fit. */
export class CheckpointError extends AccreteError {
  override readonly exitCode = 2;

  constructor(message: string, details?: ErrorDetails) {
    super("CHECKPOINT", message, details);
  }
}

/** A graph is ill-formed: types, shapes or operands do not fit. */
export class GraphError extends AccreteError {
  constructor(message: string, details?: ErrorDetails) {
    super("GRAPH", message, details);
  }
}

/** The engine failed, or training left the finite numbers. */
export class EngineError extends AccreteError {
  constructor(message: string, details?: ErrorDetails) {
    super("ENGINE", message, details);
  }
}

/**
 * What a {@link StoreError} is about: `STORE_BUSY` another writer holds the folder or was faster, `STORE_NEWER` a later
 * version of Accrete wrote it, `STORE_DAMAGED` what names everything in it cannot be read, `NO_SUCH_CLASS` no class or task of that name was learned, `NO_SUCH_STORE` no store of that name is there, `NAME_TAKEN` a task or folder
 * of that name is there already; `STORE` anything else.
 */
export type StoreErrorCode =
  | "STORE"
  | "STORE_BUSY"
  | "STORE_NEWER"
  | "STORE_DAMAGED"
  | "NO_SUCH_CLASS"
  | "NO_SUCH_STORE"
  | "NAME_TAKEN";

/** A run or store folder is in use, damaged, or in the way. */
export class StoreError extends AccreteError {
  override readonly exitCode: 1 | 2;

  constructor(
    message: string,
    details: ErrorDetails & { readonly exitCode?: 1 | 2; readonly code?: StoreErrorCode } = {},
  ) {
    super(details.code ?? "STORE", message, details);
    this.exitCode = details.exitCode ?? 2;
  }
}

/** A file has its new content and name, but the disk did not confirm that the name lasts: nothing is to be undone. */
export class UnconfirmedError extends StoreError {}

/** The operating system's code of a failed call (`ENOENT`, `ENOSPC` …), if the error carries one. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** What a caught value says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
