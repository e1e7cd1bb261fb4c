import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { openModelFolder } from "../../src/io/models/modelFolder.ts";
import { temporaryFolder } from "../support/folders.ts";
import { modelFiles } from "../support/modelFiles.ts";

const methods: readonly (readonly [string, object, RegExp])[] = [
  ["GPTQ", { quant_method: "gptq", bits: 4 }, /quantised: GPTQ, 4 bits/],
  ["AWQ", { quant_method: "awq", bits: 4 }, /quantised: AWQ, 4 bits/],
  ["bitsandbytes", { quant_method: "bitsandbytes", load_in_4bit: true }, /quantised: bitsandbytes, 4 bits/],
  ["8-bit floats", { quant_method: "fp8" }, /quantised: FP8 /],
  ["a method without a name", { bits: 3 }, /quantised: UNKNOWN, 3 bits/],
];

test.each(methods)("%s is refused by name, with what to do", async (_, quantization_config, message) => {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(modelFiles)) await writeFile(join(folder, name), content);
  const config = { model_type: "llama", quantization_config };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const opening = openModelFolder(folder);
  await expect(opening).rejects.toThrow(CheckpointError);
  await expect(opening).rejects.toThrow(message);
  await expect(opening).rejects.toMatchObject({
    hint: expect.stringContaining("take the model that it was made from"),
  });
});
