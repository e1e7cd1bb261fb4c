import { CheckpointError } from "../core/errors.ts";
import { loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { type ModelFolder, openModelFolder } from "../io/modelFolder.ts";
import { createBackbone, type EncoderBackbone } from "../nn/backbone.ts";
import type { FeatureSpec, Pooling } from "../nn/features.ts";

/** A backbone with its tokenizer and where both came from. */
export interface LoadedBackbone {
  readonly folder: ModelFolder;
  readonly backbone: EncoderBackbone;
  readonly tokenizer: Tokenizer;
}

/**
 * Opens a Hugging Face encoder by folder or hub id.
 * @throws CheckpointError if it is missing, damaged, unknown, or no encoder.
 */
export async function loadBackbone(
  source: string,
  revision?: string,
  signal?: AbortSignal,
): Promise<LoadedBackbone> {
  const folder = await openModelFolder(source, {
    ...(revision === undefined ? {} : { revision }),
    ...(signal === undefined ? {} : { signal }),
  });
  const backbone = createBackbone(folder.config, folder.weights, folder.path);
  if (backbone.kind !== "encoder")
    throw new CheckpointError(
      `${folder.path}: ${backbone.config.architecture} is a generative backbone, which experiments cannot learn with yet`,
      { hint: "Give a BERT or RoBERTa encoder." },
    );
  const tokenizer = await loadTokenizer(folder.path);
  return { folder, backbone, tokenizer };
}

/** What the config asks for, else what the model's own pooling file says, else the [CLS] token as it is. */
export function resolveFeature(
  loaded: LoadedBackbone,
  asked: { readonly pooling?: Pooling; readonly normalize?: boolean },
): FeatureSpec {
  const own = loaded.folder.poolingConfig;
  return {
    pooling: asked.pooling ?? own?.pooling ?? "cls",
    normalize: asked.normalize ?? own?.normalize ?? false,
  };
}
