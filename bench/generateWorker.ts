/**
 * Our side of `bench/generate.ts`. A train step is: dropout masks, forward, cross-entropy on the answer tokens, backward,
 * AdamW; a decode step: greedy continuation of a batch of prompts, cache included, as `accrete generate` does it.
 */
import { parseArgs } from "node:util";
import { EngineError } from "../src/core/errors.ts";
import { createRng } from "../src/core/random.ts";
import { asFloat32, int64, zeros } from "../src/core/tensor.ts";
import { collate } from "../src/data/encoding/batching.ts";
import { answerFeeds, IGNORED_LABEL } from "../src/generate/feeds.ts";
import { buildCausalTrainingGraph, type CausalStructure } from "../src/generate/graphs.ts";
import { generateGreedy, openCausalModel } from "../src/generate/greedy.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { tokenFeeds } from "../src/nn/features.ts";
import { AdamW, defaultAdamW } from "../src/optim/adamw.ts";
import { initLora } from "../src/peft/lora.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { dropoutFeeds } from "../src/train/dropout.ts";
import { GRADIENT_PREFIX } from "../src/train/graphs.ts";
import { serve } from "./serve.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "" },
    batch: { type: "string", default: "8" },
    length: { type: "string", default: "24" },
    answer: { type: "string", default: "4" },
    tokens: { type: "string", default: "40" },
    mode: { type: "string", default: "train" },
    threads: { type: "string", default: "2" },
    precision: { type: "string", default: "fp32" },
  },
});
const threads = Number(flags.threads);
const [B, T] = [Number(flags.batch), Number(flags.length)];
const precision = flags.precision === "int8" ? "int8" : "fp32";
const { backbone, folder } = await loadBackbone(flags.model, { precision });
if (backbone.kind !== "decoder") throw new EngineError(`${folder.path} is no decoder`);
const structure: CausalStructure = {
  backbone,
  adapter: {
    kind: "lora",
    spec: {
      rank: 4,
      alpha: 8,
      dropout: 0.1,
      bias: "none",
      targetModules: ["q_proj", "v_proj"],
      rslora: false,
    },
  },
};
const training = buildCausalTrainingGraph(structure, false);
const rng = createRng(1);
const adapter = await initLora(training.adapterShapes, rng, async () => zeros([1]));
const parameters = Object.fromEntries(adapter);
const prompts = Array.from({ length: B }, () =>
  Array.from({ length: T }, () => 5 + rng.integer(backbone.config.vocabularySize - 5)),
);

async function trainer() {
  const executable = await nodeRuntime.compile(training.graph, { threads, spin: true });
  const optimizer = new AdamW(
    [...adapter].map(([name, { data }]) => ({ name, values: data, learningRate: 5e-4 })),
    defaultAdamW,
  );
  const encodings = prompts.map((ids) => ({ ids, typeIds: ids.map(() => 0), truncated: false }));
  const labels = BigInt64Array.from(prompts.flat(), (id, i) =>
    i % T < T - Number(flags.answer) ? IGNORED_LABEL : BigInt(id),
  );
  const feeds = {
    ...tokenFeeds(backbone.config, collate(encodings, backbone.config.padId)),
    ...answerFeeds(int64(labels, [B, T])),
  };
  const bindings = new Map([
    ["B", B],
    ["T", T],
  ]);
  let steps = 0;
  return async () => {
    const masks = dropoutFeeds(training.masks, bindings, rng.fork("step", steps++));
    const outputs = await executable.run({ ...feeds, ...masks, ...parameters });
    optimizer.step(
      new Map(
        [...adapter.keys()].map((name) => [name, asFloat32(outputs[GRADIENT_PREFIX + name], name).data]),
      ),
    );
    return asFloat32(outputs.loss, "loss").data[0];
  };
}

async function decoder() {
  const model = await openCausalModel(structure, nodeRuntime, { threads, spin: true });
  const options = { maxNewTokens: Number(flags.tokens), stopIds: [], parameters };
  return async () => {
    await generateGreedy(model, prompts, options);
    return undefined;
  };
}

await serve(await (flags.mode === "train" ? trainer() : decoder()));
process.exit(0);
