import { loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { type ModelFolder, openModelFolder } from "../io/modelFolder.ts";
import { type Backbone, createBackbone } from "../nn/backbone.ts";
import type { FeatureSpec, Pooling } from "../nn/features.ts";

/** A backbone with its tokenizer and where both came from. */
export interface LoadedBackbone {
  readonly folder: ModelFolder;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
}

/** Opens a Hugging Face model by folder or hub id. @throws CheckpointError if it is missing, damaged or unknown. */
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
