/**
 * Our side of the side-by-side benchmark: a process that speaks the same JSON lines as `bench/peers/peft_worker.py`.
 * A train step is: dropout masks, forward, cross-entropy, backward, AdamW; an eval step: forward to logits.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openStep } from "../src/benchmark/speed/steps.ts";
import { sha256File } from "../src/io/hash.ts";
import { readSafetensorsHeader } from "../src/io/safetensors.ts";
import { quantizeBackbone, quantizedHash } from "../src/model/settings/quantizedBackbone.ts";
import { createBackbone } from "../src/nn/backbone.ts";
import { serve } from "./serve.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "" },
    batch: { type: "string", default: "4" },
    length: { type: "string", default: "16" },
    mode: { type: "string", default: "train" },
    precision: { type: "string", default: "fp32" },
    threads: { type: "string", default: "2" },
  },
});

const file = await readSafetensorsHeader(`${flags.model}/model.safetensors`);
const config: unknown = JSON.parse(readFileSync(`${flags.model}/config.json`, "utf8"));
const plain = createBackbone(config, file.tensors, flags.model);
const backbone =
  flags.precision === "int8"
    ? await quantizeBackbone(plain, quantizedHash(await sha256File(file.path)), flags.model)
    : plain;
const step = await openStep(backbone, flags.mode === "train" ? "train" : "eval", {
  batch: Number(flags.batch),
  tokens: Number(flags.length),
  threads: Number(flags.threads),
});
await serve(() => step.run());
await step[Symbol.asyncDispose]();
process.exit(0);
