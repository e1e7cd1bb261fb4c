/** SHA-256 of bytes, files and values, as lower-case hex. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { DataError } from "../core/errors.ts";

/** Strings are hashed as UTF-8. */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Streams the file, so that its size does not matter. Rejects as `fs.createReadStream` does. */
export function sha256File(path: string, signal?: AbortSignal): Promise<string> {
  return sha256Files([path], signal);
}

/** Over the bytes of all files, one after another. */
export async function sha256Files(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    const stream = createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) });
    for await (const chunk of stream) hash.update(chunk);
  }
  return hash.digest("hex");
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function canonical(value: unknown, path: string): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value))
    return `[${value.map((item, index) => canonical(item, `${path}[${index}]`)).join(",")}]`;
  if (isPlainObject(value)) {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined);
    const members = keys
      .sort()
      .map((key) => `${JSON.stringify(key)}:${canonical(value[key], `${path}.${key}`)}`);
    return `{${members.join(",")}}`;
  }
  throw new DataError(`${path}: ${typeof value} ${String(value)} has no JSON form`);
}

/**
 * JSON with sorted keys and no spaces: equal values give equal text. Undefined properties are left out.
 *
 * @throws DataError for what JSON cannot hold (NaN, functions, dates …), naming its place.
 */
export function canonicalJson(value: unknown): string {
  return canonical(value, "$");
}

/** SHA-256 of a value's canonical JSON. */
export function sha256Json(value: unknown): string {
  return sha256(canonicalJson(value));
}
