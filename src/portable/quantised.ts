/** Weights that were quantised, which are refused by the name of the method. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";

const schema = z.looseObject({
  quantization_config: z.looseObject({
    quant_method: z.string().optional(),
    bits: z.number().optional(),
    load_in_4bit: z.boolean().optional(),
    load_in_8bit: z.boolean().optional(),
  }),
});

/** What people call a method, where it is not its name in config.json in capitals. */
const methodNames: Readonly<Record<string, string>> = {
  bitsandbytes: "bitsandbytes",
  "compressed-tensors": "compressed-tensors",
  torchao: "torchao",
  quanto: "quanto",
  fp8: "FP8",
  fbgemm_fp8: "FP8",
  mxfp4: "MXFP4",
};

/** What to do with a model whose weights are quantised. */
export const quantisedHint =
  "Accrete reads weights in float32, float16 and bfloat16: take the model that it was made from, or undo the quantisation with transformers: AutoModel.from_pretrained(folder).dequantize().save_pretrained(other).";

/** @throws CheckpointError naming the method, if config.json says that the weights are quantised */
export function refuseQuantised(config: unknown, where: string): void {
  const found = schema.safeParse(config);
  if (!found.success) return;
  const { quant_method: method = "unknown", ...settings } = found.data.quantization_config;
  const bits = settings.bits ?? (settings.load_in_4bit ? 4 : settings.load_in_8bit ? 8 : undefined);
  const name = methodNames[method] ?? method.toUpperCase();
  throw new CheckpointError(
    `${where}: its weights are quantised: ${name}${bits === undefined ? "" : `, ${bits} bits`} (quantization_config in config.json)`,
    { hint: quantisedHint },
  );
}

/** Types of safetensors that only quantised weights have, and what they are. */
export const quantisedTypes: Readonly<Record<string, string>> = {
  F8_E4M3: "an 8-bit float",
  F8_E5M2: "an 8-bit float",
  F8_E8M0: "an 8-bit float",
  F4: "a 4-bit float",
  F6_E2M3: "a 6-bit float",
  F6_E3M2: "a 6-bit float",
  I8: "an 8-bit integer",
};
