/** Which safetensors files hold a model's weights: one, or the shards of an index. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, errorCode } from "../../core/errors.ts";

export interface WeightFiles {
  /** Names inside the folder, sorted. */
  readonly names: readonly string[];
  /** Tensor name → file name, where an index says so. */
  readonly index?: ReadonlyMap<string, string>;
}

const singleFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";

const indexSchema = z.object({
  weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+\.safetensors$/)),
});

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function readIndex(path: string): Promise<ReadonlyMap<string, string> | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw new CheckpointError(`${path}: cannot be read`, { cause: error });
  }
  try {
    return new Map(Object.entries(indexSchema.parse(JSON.parse(text)).weight_map));
  } catch (cause) {
    throw new CheckpointError(
      `${path}: is no index of safetensors files: weight_map must map tensors to files`,
      {
        cause,
      },
    );
  }
}

/** The index's shards, and those of them that are not in the folder. */
async function readShards(
  folder: string,
): Promise<(WeightFiles & { missing: readonly string[] }) | undefined> {
  const index = await readIndex(join(folder, indexFile));
  if (index === undefined) return undefined;
  const names = [...new Set(index.values())].sort();
  const present = await Promise.all(names.map((name) => isFile(join(folder, name))));
  return { names, index, missing: names.filter((_, i) => !present[i]) };
}

/** `undefined` where there is neither file nor index, or a shard of the index is missing. */
export async function findWeightFiles(folder: string): Promise<WeightFiles | undefined> {
  if (await isFile(join(folder, singleFile))) return { names: [singleFile] };
  const shards = await readShards(folder);
  return shards?.missing.length === 0 ? shards : undefined;
}

const convert = "Convert it with transformers: AutoModel.from_pretrained(folder).save_pretrained(folder).";

/** Files that others keep weights in, and what to do. */
const otherFormats: readonly (readonly [string, string])[] = [
  ["pytorch_model.bin", convert],
  ["pytorch_model.bin.index.json", convert],
  ["tf_model.h5", "Take the PyTorch or safetensors files of the model."],
  ["flax_model.msgpack", "Take the PyTorch or safetensors files of the model."],
  [
    "adapter_model.safetensors",
    "This is an adapter's folder: give the folder of the model that it was trained on.",
  ],
];

/** @throws CheckpointError saying which files were looked for, and what to do where only others are there. */
export async function requireWeightFiles(folder: string): Promise<WeightFiles> {
  const found = await findWeightFiles(folder);
  if (found !== undefined) return found;
  const shards = await readShards(folder);
  if (shards !== undefined)
    throw new CheckpointError(
      `${folder}: ${indexFile} names files that are missing: ${shards.missing.join(", ")}`,
      {
        hint: "Download or copy them into the folder.",
      },
    );
  for (const [name, hint] of otherFormats)
    if (await isFile(join(folder, name)))
      throw new CheckpointError(
        `${folder}: no weights: looked for ${singleFile} and ${indexFile}; there is only ${name}`,
        { hint },
      );
  throw new CheckpointError(`${folder}: no weights: looked for ${singleFile} and ${indexFile}`, {
    hint: "Is this the folder of a Hugging Face model?",
  });
}
