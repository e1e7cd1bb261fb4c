/** Adapters that real peft made, through our engine, against what peft computed with them. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { zeros } from "../../src/core/tensor.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, SavedAdapter } from "../../src/peft/types.ts";
import { adapterHost } from "../../src/train/graphs.ts";
import { loraOf } from "../support/adapterFiles.ts";
import { batchOf, differences, runAdapter } from "../support/adapterRuns.ts";
import { goldenBackbone, goldensFolder, readTensors } from "../support/goldens.ts";
import { tolerances } from "../support/tolerances.ts";

interface Case {
  readonly architecture: Architecture;
  readonly base: string;
  readonly adapter: string;
  readonly expected: string;
}

const architectures: readonly Architecture[] = ["bert", "roberta"];

const cases: readonly Case[] = architectures.flatMap((architecture) => [
  ...["feature", "seqcls", "bias-lora_only", "bias-all", "patterns"].map((kind) => ({
    architecture,
    base: architecture,
    adapter: `${architecture}/peft-${kind}`,
    expected: `${architecture}/golden-peft-${kind}.f32.safetensors`,
  })),
  ...["seq-cls", "feature-extraction"].flatMap((kind) =>
    ["none", "lora-only", "all"].map((bias) => {
      const adapter = `peft/${architecture}-${kind}-${bias}`;
      const base = `peft/${architecture}-${kind}-base`;
      return { architecture, base, adapter, expected: `${adapter}/expected.safetensors` };
    }),
  ),
]);

describe("an adapter of peft computes in our engine what it computes in peft", () => {
  test.each(cases)("$adapter", async ({ architecture, base, adapter, expected }) => {
    const backbone = await goldenBackbone(base);
    const feature = { pooling: "mean", normalize: false } as const;
    const folder = join(goldensFolder, adapter);
    const bare = { host: adapterHost({ backbone, feature }), ...feature };
    const inside = /seq-?cls/.test(adapter);
    const saved = await readPeftFolder(folder, { architecture, ...(inside ? {} : bare) });
    const reference = await readTensors(expected);
    const batch = batchOf(reference);
    const differ = async (adapted: SavedAdapter) =>
      differences(await runAdapter(backbone, adapted, batch), reference, batch.attentionMask, backbone.width);

    const found = await differ(saved);
    const hidden = Array.from({ length: backbone.config.layers + 1 }, (_, i) => `hidden.${i}`);
    expect([...found.keys()].sort()).toEqual([...hidden, ...(inside ? ["logits"] : [])]);
    for (const [name, difference] of found) expect(difference, name).toBeLessThanOrEqual(tolerances.float32);

    // Without the adapter's own values it is another model: the comparison above can fail.
    const tensors = new Map([...saved.adapter.tensors].map(([name, { dims }]) => [name, zeros(dims)]));
    const blank = await differ({ ...saved, adapter: { ...saved.adapter, tensors } });
    expect(blank.get(`hidden.${backbone.config.layers}`)).toBeGreaterThan(100 * tolerances.float32);
  });

  test("the alphas and ranks of single layers count", async () => {
    const backbone = await goldenBackbone("bert");
    const saved = await readPeftFolder(join(goldensFolder, "bert/peft-patterns"), { architecture: "bert" });
    const { spec, tensors } = loraOf(saved);
    expect(spec).toMatchObject({
      rankPattern: { "layer.0.attention.self.query": 2 },
      alphaPattern: { "layer.1.attention.self.value": 5 },
    });
    expect(tensors.get("encoder.layer.0.attention.self.query.lora_A.weight")?.dims).toEqual([2, 24]);
    const reference = await readTensors("bert/golden-peft-patterns.f32.safetensors");
    const batch = batchOf(reference);
    const { alphaPattern: _, ...plain } = spec;
    const results = await runAdapter(
      backbone,
      { ...saved, adapter: { kind: "lora", spec: plain, tensors } },
      batch,
    );
    const found = differences(results, reference, batch.attentionMask, backbone.width);
    expect(found.get("hidden.1")).toBeLessThanOrEqual(tolerances.float32);
    expect(found.get("hidden.2")).toBeGreaterThan(10 * tolerances.float32);
  });
});
