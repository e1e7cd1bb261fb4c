/** The settings under which an adapter that was saved could have been learned. */
import type { ModelConfig } from "../../config/schema.ts";
import { CheckpointError } from "../../core/errors.ts";
import { ownHead } from "../../nn/families.ts";
import type { SavedAdapter } from "../../peft/types.ts";

/** A configuration without its backbone. */
export type AdapterSettings = Omit<ModelConfig, "backbone">;

function methodOf({ adapter }: SavedAdapter, where: string): NonNullable<AdapterSettings["method"]> {
  if (adapter.kind === "prompt-tuning")
    return { adapter: "prompt-tuning", virtualTokens: adapter.spec.virtualTokens };
  const { rank, alpha, dropout, bias, targetModules, rslora, ...other } = adapter.spec;
  const [unusual] = Object.keys(other);
  if (unusual !== undefined)
    throw new CheckpointError(`${where}: no store learns adapters like this one: ${unusual}`, {
      hint: "loadAdapter answers with it alone.",
    });
  const targets = typeof targetModules === "string" ? targetModules : [...targetModules];
  return {
    adapter: "lora",
    rank,
    alpha,
    dropout: Math.min(dropout, 0.99),
    bias,
    rslora,
    targetModules: targets,
  };
}

function headOf({ head, causal, level, architecture }: SavedAdapter, where: string): AdapterSettings["head"] {
  if (causal !== undefined) return "none";
  const kind = head?.kind ?? "linear";
  if (kind === "linear" || kind === "cosine") return kind;
  if (architecture !== undefined && ownHead(architecture, level ?? "sentence")?.kind === kind) return "own";
  throw new CheckpointError(`${where}: no store learns heads like this one: ${kind}`);
}

/**
 * What a store is begun with so that it can take in the adapter and go on.
 * @throws CheckpointError if no settings give adapters of that build
 */
export function settingsOfAdapter(saved: SavedAdapter, where: string): AdapterSettings {
  const head = headOf(saved, where);
  const pooled = saved.level !== "word" && head !== "own" && head !== "none";
  return {
    method: methodOf(saved, where),
    head,
    ...(saved.level === "word" && { level: "word" as const }),
    ...(pooled && { feature: { pooling: saved.pooling, normalize: saved.normalize } }),
    ...(saved.prompt !== undefined && { prompt: saved.prompt }),
  };
}
