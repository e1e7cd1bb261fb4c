/**
 * Writes every case of `trained.ts` as an adapter folder, with what our engine computes with it in
 * `expected.safetensors`: `npx tsx tools/peft/write_ours.ts <out>`. `check_ours.sh` then asks real peft. Prints a line
 * for each: its folder, its base, and the feature's options for `check_roundtrip.py`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, GraphError } from "../../src/core/errors.ts";
import type { HostTensor } from "../../src/core/tensor.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import type { TokenBatch } from "../../src/nn/features.ts";
import { encodePeftFolder } from "../../src/peft/checkpoint.ts";
import { runAdapter } from "../../tests/support/adapterRuns.ts";
import { goldenBackbone, goldensFolder } from "../../tests/support/goldens.ts";
import { trainCase, trainedCases } from "./trained.ts";

/** Our rows (B·T, D) as transformers has them, (B, T, D), with virtual tokens in front where there are some. */
function expectedTensors(
  results: ReadonlyMap<string, HostTensor>,
  batch: TokenBatch,
  { kind, width }: Pick<Backbone, "kind" | "width">,
): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>([
    ["input_ids", batch.inputIds],
    ["attention_mask", batch.attentionMask],
  ]);
  // transformers' GPT-2 would look types up among its words.
  if (kind === "encoder") tensors.set("token_type_ids", batch.tokenTypeIds);
  for (const [name, tensor] of results) {
    const [texts = 0] = batch.inputIds.dims;
    const dims = name.startsWith("hidden.")
      ? [texts, tensor.data.length / texts / width, width]
      : tensor.dims;
    tensors.set(name, { ...tensor, dims });
  }
  return tensors;
}

const [out] = process.argv.slice(2);
if (out === undefined) throw new ConfigError("usage: npx tsx tools/peft/write_ours.ts <out>");
await mkdir(out, { recursive: true });
for (const one of trainedCases) {
  const backbone = await goldenBackbone(one.architecture);
  const { saved, batch } = await trainCase(one, backbone);
  const results = await runAdapter(backbone, saved, batch);
  if (!results.has("logits")) throw new GraphError(`${one.name}: no logits`);
  const files = encodePeftFolder(saved);
  // Where the head is inside, the model gives no feature to compare.
  if (!files.has("head.safetensors")) results.delete("feature");
  const folder = join(out, one.name);
  await writeFolderAtomic(folder, files);
  const expected = expectedTensors(results, batch, backbone);
  await writeFile(join(folder, "expected.safetensors"), encodeSafetensors(expected, { format: "pt" }));
  const pooling = [`--pooling ${one.pooling}`, ...(one.normalize ? ["--normalize"] : [])].join(" ");
  process.stdout.write(`${folder} ${join(goldensFolder, one.architecture)} ${pooling}\n`);
}
