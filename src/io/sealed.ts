/** JSON that carries a hash of itself, so that a change by hand or by a bad disk is noticed. */
import { canonicalJson, sha256 } from "./hash.ts";

const sealKey = "sha256";

/**
 * @param value plain data, without a key `sha256` of its own
 * @returns its JSON as bytes, with the SHA-256 of its canonical form as one more key
 */
export function sealJson(value: Readonly<Record<string, unknown>>): Uint8Array {
  const sealed = { ...value, [sealKey]: sha256(canonicalJson(value)) };
  return new TextEncoder().encode(`${JSON.stringify(sealed, null, 2)}\n`);
}

/** The value that was sealed; undefined where the bytes are no sealed JSON, or were changed. */
export function openSealed(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof parsed !== "object" || parsed === null || !(sealKey in parsed)) return undefined;
    const { [sealKey]: seal, ...value } = parsed;
    return seal === sha256(canonicalJson(value)) ? value : undefined;
  } catch {
    return undefined;
  }
}
