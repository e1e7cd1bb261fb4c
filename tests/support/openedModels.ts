/** Every family's tiny random model, opened, and texts for it. */
import { type LoadedBackbone } from "../../src/continual/types.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBackbone } from "../../src/model/backbone.ts";
import { AdaptedBackbone, type AdaptedBackboneOptions } from "../../src/continual/passes/adaptedBackbone.ts";
import { createRng } from "../../src/core/random.ts";
import type { Encoding } from "../../src/data/tokenizer.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { ModelStructure } from "../../src/train/graphs.ts";
import { writeTinyFamily } from "./tinyModels.ts";

/** The folder of models, removed when disposed of. */
export class TinyModels implements AsyncDisposable {
  private readonly loaded = new Map<Architecture, LoadedBackbone>();
  private readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async write(families: readonly Architecture[]): Promise<TinyModels> {
    const models = new TinyModels(await mkdtemp(join(tmpdir(), "accrete-tiny-")));
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

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Texts of chance words, of the lengths given. */
export function randomEncodings(lengths: readonly number[], seed = 1): Encoding[] {
  const rng = createRng(seed);
  return lengths.map((length) => ({
    ids: Array.from({ length }, () => 10 + rng.integer(400)),
    typeIds: new Array<number>(length).fill(0),
    truncated: false,
  }));
}
