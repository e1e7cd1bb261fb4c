/** What stands beside an exported router for `accrete-lm/web`, which goes on learning: which folder it is, and its statistics. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";

export const webFile = "accrete.json";
export const webRouterFile = "router.safetensors";
export const webStatisticsFile = "statistics.safetensors";
export const onnxFile = "onnx/model.onnx";

const taskSchema = z.object({ name: z.string(), labels: z.array(z.string()) });

const manifestSchema = z.object({
  /** Of this layout. */
  version: z.literal(1),
  accrete: z.string(),
  /** The kind of the router that answers at once. */
  router: z.string(),
  seed: z.number().int(),
  tasks: z.array(taskSchema),
  /** Tokens that a text may have. */
  maxTokens: z.number().int().positive(),
  /** What texts are put into. */
  prompt: z.string().optional(),
  rejectRate: z.number().optional(),
  /** The files of the folder beside this one. */
  files: z.array(z.string()),
});

/** What an exported folder says of itself. */
export type WebManifest = z.infer<typeof manifestSchema>;

/** @param where the file, for messages @throws CheckpointError where it is none */
export function parseWebManifest(text: string, where: string): WebManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${where}: is not JSON`, { cause });
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${where}: is none of an exported store: ${z.prettifyError(parsed.error)}`, {
    hint: "Make the folder with accrete export <store> --to onnx.",
  });
}
