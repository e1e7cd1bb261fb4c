/** Every family's tiny random model, opened, and texts for it. */
import { join } from "node:path";
import { AdaptedBackbone, type AdaptedBackboneOptions } from "../../src/continual/passes/adaptedBackbone.ts";
import type { LoadedBackbone } from "../../src/continual/types.ts";
import { createRng } from "../../src/core/random.ts";
import type { Encoding } from "../../src/data/encoding/tokenizer.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { ModelStructure } from "../../src/train/graphs.ts";
import type { TrainingOptions } from "../../src/train/trainer.ts";
import { folderOfTestFile } from "./folders.ts";
import { writeTinyFamily } from "./tinyModels.ts";

/** Models of some families, in a folder that goes away with the test file. */
export class TinyModels {
  private readonly loaded = new Map<Architecture, LoadedBackbone>();
  private readonly root = folderOfTestFile("tiny");

  static async write(families: readonly Architecture[]): Promise<TinyModels> {
    const models = new TinyModels();
    for (const family of families) {
      const folder = join(models.root, family);
      await writeTinyFamily(family, folder);
      models.loaded.set(family, await loadBackbone(folder));
    }
    return models;
  }

  of(family: Architecture): LoadedBackbone {
    const loaded = this.loaded.get(family);
    if (loaded === undefined) throw new Error(`no ${family} was written`);
    return loaded;
  }

  open(
    family: Architecture,
    structure: Partial<Omit<ModelStructure, "backbone">> = {},
    options: Partial<AdaptedBackboneOptions> = {},
  ): AdaptedBackbone {
    const { backbone, tokenizer } = this.of(family);
    return new AdaptedBackbone({
      structure: {
        backbone,
        feature: { pooling: "mean", normalize: false },
        head: defaultHeads.linear,
        ...structure,
      },
      tokenizer,
      runtime: nodeRuntime,
      maxLength: 30,
      threads: 1,
      ...options,
    });
  }
}

/** A constant rate and no decay: what a test says of its training stands before it. */
export const plainTraining: TrainingOptions = {
  epochs: 1,
  batchSize: 8,
  learningRate: 0,
  headLearningRate: 0,
  weightDecay: 0,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  schedule: "constant",
  warmup: 0,
  backboneDropout: false,
};

/** Texts of chance words, of the lengths given. */
export function randomEncodings(lengths: readonly number[], seed = 1): Encoding[] {
  const rng = createRng(seed);
  return lengths.map((length) => ({
    ids: Array.from({ length }, () => 10 + rng.integer(400)),
    typeIds: new Array<number>(length).fill(0),
    truncated: false,
  }));
}
