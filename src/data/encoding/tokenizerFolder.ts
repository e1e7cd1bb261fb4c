/** Tokenizers of folders on the disk. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, errorCode } from "../../core/errors.ts";
import { openTokenizer, type Tokenizer } from "./tokenizer.ts";

/** As `openTokenizer`, of a model's folder. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return await openTokenizer({
    where: folder,
    read: (name) => {
      const path = join(folder, name);
      return readFile(path).catch((cause: unknown) => {
        if (errorCode(cause) === "ENOENT") return undefined;
        throw new CheckpointError(`${path} cannot be read`, { cause });
      });
    },
  });
}
