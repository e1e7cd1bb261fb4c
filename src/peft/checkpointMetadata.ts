/** `accrete.json`: what peft has no place for, written beside its files. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { architectures } from "../nn/families.ts";
import { poolingKinds } from "../nn/features.ts";
import { headKinds } from "../nn/heads.ts";
import type { SavedAdapter } from "./types.ts";

export const metadataFile = "accrete.json";

const metadataSchema = z.object({
  schemaVersion: z.literal(1),
  /** The version of Accrete that wrote it. */
  accreteVersion: z.string().optional(),
  architecture: z.enum(architectures).optional(),
  prompt: z.string().optional(),
  /** Of an adapter whose head classifies every token. */
  level: z.literal("word").optional(),
  labels: z.array(z.string()),
  pooling: z.enum(poolingKinds),
  normalize: z.boolean(),
  head: z.enum(headKinds).nullable(),
  backboneHash: z.string(),
  tokenizerHash: z.string(),
});

export type Metadata = z.infer<typeof metadataSchema>;

function describeSaved(saved: SavedAdapter): Metadata {
  return {
    schemaVersion: 1,
    ...(saved.accreteVersion !== undefined && { accreteVersion: saved.accreteVersion }),
    ...(saved.architecture && { architecture: saved.architecture }),
    ...(saved.level && { level: saved.level }),
    labels: [...saved.labels],
    pooling: saved.pooling,
    normalize: saved.normalize,
    head: saved.head?.kind ?? null,
    ...(saved.prompt !== undefined && { prompt: saved.prompt }),
    backboneHash: saved.backboneHash,
    tokenizerHash: saved.tokenizerHash,
  };
}

/** The file's text. @throws CheckpointError where nobody could read it again */
export function encodeMetadata(saved: SavedAdapter, where: string): string {
  const parsed = metadataSchema.safeParse(describeSaved(saved));
  if (parsed.success) return `${JSON.stringify(parsed.data, null, 2)}\n`;
  throw new CheckpointError(`${where}: cannot be saved: ${z.prettifyError(parsed.error)}`);
}

/** @throws CheckpointError if it is not what this version writes */
export function parseMetadata(text: string, path: string): Metadata {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path}: is not JSON`, { cause });
  }
  const parsed = metadataSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const version = z.looseObject({ schemaVersion: z.int() }).safeParse(json).data?.schemaVersion ?? 1;
  if (version > 1)
    throw new CheckpointError(
      `${path}: was written by a later version of Accrete: schema ${version}, this one reads up to 1`,
      { hint: "Update Accrete: npm install accrete-lm@latest." },
    );
  throw new CheckpointError(
    `${path}: is not what this version of Accrete writes:\n${z.prettifyError(parsed.error)}`,
  );
}
