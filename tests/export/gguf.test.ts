/** Adapters for llama.cpp, byte for byte as its own Python package writes them (tools/goldens/make_gguf.py). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeGguf, type GgufValue } from "../../src/export/gguf.ts";
import { encodeGgufLora } from "../../src/export/ggufLora.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { goldenBase } from "../support/goldenAdapters.ts";
import { goldensFolder } from "../support/goldens.ts";

describe("as the package gguf writes it", () => {
  test.each(["llama", "gpt_neox", "gpt2"])("%s, from an adapter that peft saved", async (model) => {
    const { backbone, told } = await goldenBase(model);
    if (backbone.kind !== "decoder") throw new Error("no decoder");
    const saved = await readPeftFolder(join(goldensFolder, model, "peft-causal"), { backbone: told });
    const bytes = encodeGgufLora({ name: "golden", saved }, backbone, model);
    const golden = await readFile(join(goldensFolder, "gguf", `${model}.gguf`));
    expect(Buffer.from(bytes).equals(golden)).toBe(true);
  });
});

test("every value has its type, and every tensor begins at a multiple of 32", () => {
  const values = new Map<string, GgufValue>([
    ["text", { type: "string", value: "é" }],
    ["number", { type: "uint32", value: 7 }],
    ["fraction", { type: "float32", value: 0.5 }],
  ]);
  const tensors = [
    { name: "a", dims: [1, 3], data: Float32Array.of(1, 2, 3) },
    { name: "b", dims: [2], data: Float32Array.of(4, 5) },
  ];
  const bytes = encodeGguf(values, tensors);
  const view = new DataView(bytes.buffer);
  expect(bytes.length % 32).toBe(0);
  expect(view.getFloat32(bytes.length - 64, true)).toBe(1);
  expect(view.getFloat32(bytes.length - 32, true)).toBe(4);
  expect(view.getUint32(4, true)).toBe(3);
});
