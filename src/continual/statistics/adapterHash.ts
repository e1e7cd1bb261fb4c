/** The identity of an adapter that features are read through. */
import { sha256, sha256Json } from "../../portable/hash.ts";
import type { LearnedTask } from "../types.ts";
import { compareCodeUnits } from "./statistics.ts";

/** SHA-256 over an adapter's tensors, by name. */
export function hashAdapter({ adapter }: Pick<LearnedTask, "adapter">): string {
  const tensors = [...adapter].sort(([a], [b]) => compareCodeUnits(a, b));
  return sha256Json(
    tensors.map(([name, { data, dims }]) => [
      name,
      dims,
      sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  );
}
