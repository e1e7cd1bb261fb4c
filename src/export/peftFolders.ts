/** `peft`: a folder a task for Hugging Face's peft, and where vLLM serves such an adapter one for it. */
import { slugFor } from "../model/taskFiles.ts";
import type { Architecture } from "../nn/backbone.ts";
import { encodePeftFolder } from "../peft/checkpoint.ts";
import type { SavedAdapter } from "../peft/types.ts";
import { encodeSafetensors } from "../portable/safetensors.ts";
import { adaptedTasks } from "./source.ts";
import type { Exporter } from "./types.ts";

/** Families whose adapters vLLM serves. */
const servedByVllm: { readonly [A in Architecture]: boolean } = {
  bert: false,
  roberta: false,
  "xlm-roberta": false,
  camembert: false,
  distilbert: false,
  electra: false,
  mpnet: false,
  modernbert: false,
  "deberta-v2": false,
  gpt2: false,
  gpt_neox: false,
  llama: true,
  mistral: true,
  qwen2: true,
  qwen3: true,
  smollm3: true,
  phi3: true,
  gemma3_text: true,
};

/** Why vLLM does not serve an adapter; undefined where it does. */
function refusedByVllm({ adapter, architecture }: SavedAdapter): string | undefined {
  if (architecture === undefined || !servedByVllm[architecture])
    return `it serves no adapters of ${architecture ?? "an unknown architecture"}`;
  if (adapter.kind !== "lora") return "it serves no tuned prompts";
  const { dora, bias, replaced } = adapter.spec;
  if (dora === true) return "it serves no DoRA";
  if (bias !== "none") return "it serves no trained biases";
  if (replaced !== undefined) return "it serves no word embeddings that were trained along";
  return undefined;
}

export const exportPeft: Exporter = (source) => {
  const files = new Map<string, Uint8Array>();
  const notes: string[] = [];
  const taken = new Set<string>();
  for (const { name, saved } of adaptedTasks(source)) {
    const slug = slugFor(name, taken);
    taken.add(slug);
    for (const [file, bytes] of encodePeftFolder(saved)) files.set(`peft/${slug}/${file}`, bytes);
    const refused = refusedByVllm(saved);
    if (refused !== undefined) {
      notes.push(`${name}: no folder for vLLM: ${refused}.`);
      continue;
    }
    // As vLLM reads it: the adapter of a language model.
    const { head, ...bare } = saved;
    for (const [file, bytes] of encodePeftFolder({ ...bare, causal: true, labels: [] }))
      files.set(`vllm/${slug}/${file}`, bytes);
    if (head === undefined) continue;
    const file = `vllm/${slug}.head.safetensors`;
    files.set(file, encodeSafetensors(head.tensors, { labels: JSON.stringify(saved.labels) }));
    notes.push(`${name}: vLLM has no place for its head; it lies in ${file}.`);
  }
  return Promise.resolve({ files, notes });
};
