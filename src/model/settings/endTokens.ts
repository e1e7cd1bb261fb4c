import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { LoadedBackbone } from "../../continual/types.ts";
import { CheckpointError, errorCode } from "../../core/errors.ts";

const tokenId = z.int().nonnegative();
const schema = z.looseObject({ eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish() });

/** The ids that a configuration of Hugging Face's calls the end of a text. */
function endsIn(json: unknown, where: string): readonly number[] {
  const parsed = schema.safeParse(json);
  if (!parsed.success)
    throw new CheckpointError(`${where}: is not as transformers writes it: ${z.prettifyError(parsed.error)}`);
  return [parsed.data.eos_token_id ?? []].flat();
}

async function readGenerationConfig(path: string): Promise<readonly number[]> {
  try {
    return endsIn(JSON.parse(await readFile(path, "utf8")), path);
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return [];
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: cannot be read`, { cause });
  }
}

export interface EndTokens {
  /** What a learned answer ends with: the tokenizer's end token, else the model's; undefined where none is named. */
  readonly answerEnd: number | undefined;
  /** What ends a generated text; empty where none is named. */
  readonly stopIds: readonly number[];
}

/**
 * With which tokens a model's texts end, as transformers decides it: `generation_config.json` goes before `config.json`.
 * @throws CheckpointError if one of them is damaged
 */
export async function endTokens({ folder, tokenizer }: LoadedBackbone): Promise<EndTokens> {
  const generation = await readGenerationConfig(join(folder.path, "generation_config.json"));
  const own = generation.length > 0 ? generation : endsIn(folder.config, join(folder.path, "config.json"));
  const answerEnd = tokenizer.endId ?? own[0];
  return { answerEnd, stopIds: [...new Set(answerEnd === undefined ? own : [...own, answerEnd])] };
}
