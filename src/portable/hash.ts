/** SHA-256 of bytes and values, as lower-case hex. */
import { DataError } from "../core/errors.ts";
import { builtinModule } from "./builtin.ts";
import { plainSha256 } from "./sha256.ts";

const native = builtinModule?.("node:crypto");

/** Strings are hashed as UTF-8. */
export function sha256(content: Uint8Array | string): string {
  if (native !== undefined) return native.createHash("sha256").update(content).digest("hex");
  return plainSha256(typeof content === "string" ? new TextEncoder().encode(content) : content);
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

/** SHA-256 of what `sha256sum` prints of files, sorted by name. @param digests by name */
export function sha256Listing(digests: ReadonlyMap<string, string>): string {
  const names = [...digests.keys()].sort();
  return sha256(names.map((name) => `${digests.get(name)}  ${name}\n`).join(""));
}
