/** Errors on their way between threads and out to clients, without a path of the machine. */
import { isAbsolute } from "node:path";
import { AccreteError, type ErrorDetails, errorCode } from "../../core/errors.ts";
import { copiesIn, pathsOf, type StoresAt } from "../../store/sources/openSource.ts";
import type { CarriedError } from "./protocol.ts";

/** What a request is refused with. */
export class RequestError extends AccreteError {
  readonly status: number;
  /** After so many seconds it is worth asking again. */
  readonly retryAfter: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    details: ErrorDetails & { readonly retryAfter?: number } = {},
  ) {
    super(code, message, details);
    this.status = status;
    this.retryAfter = details.retryAfter;
  }
}

/** An error that came from another thread. */
export class CarriedAccreteError extends AccreteError {
  readonly errno: string | undefined;

  constructor({ code, message, hint, errno }: CarriedError) {
    super(code, message, hint === undefined ? {} : { hint });
    this.errno = errno;
  }
}

/** The code that the operating system gave, at whatever depth. */
function errnoOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const code = errorCode(at);
    if (code !== undefined && /^E[A-Z0-9]+$/.test(code)) return code;
  }
  return undefined;
}

export const INTERNAL = "INTERNAL";
export const ABORTED = "ABORTED";

export function carry(error: unknown): CarriedError {
  const errno = errnoOf(error);
  if (error instanceof AccreteError)
    return { code: error.code, message: error.message, hint: error.hint, errno };
  const message = error instanceof Error ? error.message : String(error);
  const aborted = error instanceof Error && error.name === "AbortError";
  return { code: aborted ? ABORTED : INTERNAL, message, errno };
}

const full = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
const statuses: Readonly<Record<string, number>> = {
  ARGUMENT: 422,
  CONFIG: 422,
  DATA: 422,
  STORE: 409,
  STORE_BUSY: 503,
  NO_SUCH_CLASS: 404,
  NO_SUCH_STORE: 404,
  NAME_TAKEN: 409,
  [ABORTED]: 503,
};
const BUSY_SECONDS = 2;
/** What a client does where another program would do something else. */
const hints: Readonly<Record<string, string>> = {
  NO_SUCH_STORE: "GET /v1/models lists the stores and their tasks.",
};

/** What a client is told of an error. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly retryAfter?: number | undefined;
}

/** An absolute path of two parts or more, where a word begins. */
const looksLikePath = /(?<![\w./:-])(?:\/[\w.@+~-]+){2,}\/?|(?<!\w)[A-Za-z]:\\[^\s"']+/g;

/** Says things without the machine's paths: a store's folder becomes its name, any other path is left out. */
export class Discretion {
  private readonly names: readonly (readonly [path: string, said: string])[];
  private readonly copies: RegExp | undefined;

  constructor(stores: StoresAt) {
    this.copies = copiesIn(stores);
    this.names = pathsOf(stores)
      .filter(([path]) => path.includes("/") || isAbsolute(path))
      .toSorted(([a], [b]) => b.length - a.length);
  }

  say(text: string): string {
    const short = this.copies === undefined ? text : text.replaceAll(this.copies, "");
    const named = this.names.reduce((said, [path, name]) => said.replaceAll(path, name), short);
    return named.replaceAll(looksLikePath, "(a path)");
  }

  refusalOf(error: unknown): Refusal {
    const { code, message, hint } = carry(error);
    if (error instanceof RequestError)
      return { status: error.status, code, message, hint, retryAfter: error.retryAfter };
    const errno = error instanceof CarriedAccreteError ? error.errno : errnoOf(error);
    if (errno !== undefined && full.has(errno))
      return {
        status: 507,
        code: "DISK_FULL",
        message: "the disk has no room for this change; the store is as it was",
        hint: "Make room on the disk, then ask again.",
      };
    if (code === INTERNAL)
      return { status: 500, code, message: "something went wrong here; the log has it by the request's id" };
    const status = statuses[code] ?? 500;
    return {
      status,
      code,
      message: this.say(message),
      hint: hint === undefined ? hints[code] : this.say(hint),
      ...(code === "STORE_BUSY" && { retryAfter: BUSY_SECONDS }),
    };
  }
}
