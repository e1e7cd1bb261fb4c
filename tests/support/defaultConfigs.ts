/** Models as transformers' own configuration classes describe them, cut to two layers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { WeightSource } from "../../src/graph/types.ts";
import { buildDecoder, languageModelLogits } from "../../src/nn/decoders/decoder.ts";
import { buildEncoder } from "../../src/nn/encoders/encoderNetwork.ts";
import { type Architecture, families } from "../../src/nn/families.ts";
import { noDropout, noTransform } from "../../src/nn/layers/layers.ts";
import { inputParameters, type ParameterShape } from "../../src/nn/layers/parameters.ts";
import { declareTokenInputs } from "../../src/nn/layers/tokens.ts";
import { goldensFolder } from "./goldens.ts";

const schema = z.object({ configs: z.record(z.string(), z.record(z.string(), z.unknown())) });

/** The config.json of a family. */
export function defaultConfig(architecture: Architecture): Record<string, unknown> {
  const text = readFileSync(join(goldensFolder, "default-configs.json"), "utf8");
  const config = schema.parse(JSON.parse(text)).configs[architecture];
  if (config === undefined) throw new Error(`no config of ${architecture}`);
  return config;
}

/** Every tensor that the model asks for, by AutoModel name; of a decoder its head too. */
export function shapesOf(architecture: Architecture, config: unknown): readonly ParameterShape[] {
  const family = families[architecture];
  const parameters = inputParameters();
  const context = { parameters, transform: noTransform, dropout: noDropout };
  if (family.kind === "encoder")
    buildEncoder(family.open(config, architecture), context, declareTokenInputs());
  else {
    const parsed = family.network.parse(config, architecture);
    const { last } = buildDecoder(family.network, parsed, context, declareTokenInputs());
    languageModelLogits(family.network, parsed, context, last);
  }
  return parameters.declared;
}

/** Places for tensors of these shapes that nobody reads. */
export function weightsOf(shapes: readonly ParameterShape[]): ReadonlyMap<string, WeightSource> {
  return new Map(
    shapes.map(({ name, dims }) => [name, { file: "none", dtype: "float32", dims, offset: 0, length: 0 }]),
  );
}
