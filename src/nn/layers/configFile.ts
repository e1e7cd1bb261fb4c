import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import { activations } from "./layers.ts";

/** Sizes in config.json: positive whole numbers. */
export const size = z.int().positive();

/** A dropout rate in config.json. */
export const rate = z.number().min(0).lt(1);

const modelTypeSchema = z.object({ model_type: z.string() });

/**
 * The architecture that a Hugging Face config.json names.
 * @param known the architectures to choose from, in the words of `model_type`
 * @param where the model's folder, for messages
 * @param neighbours what to say of names that are not among them
 * @throws CheckpointError if there is none, or it is not among `known`
 */
export function modelTypeOf<T extends string>(
  config: unknown,
  known: readonly T[],
  where: string,
  neighbours: Readonly<Record<string, string>> = {},
): T {
  const type = modelTypeSchema.safeParse(config);
  if (!type.success)
    throw new CheckpointError(`${where}: config.json has no "model_type"`, {
      hint: `known: ${known.join(", ")}`,
    });
  const found = known.find((name) => name === type.data.model_type);
  if (found !== undefined) return found;
  const { model_type: name } = type.data;
  const near = Object.hasOwn(neighbours, name) ? `${neighbours[name]} ` : "";
  throw new CheckpointError(`${where}: unknown architecture "${name}"`, {
    hint: `${near}Accrete runs ${known.join(", ")}: give the folder of one of these.`,
  });
}

/** @throws CheckpointError naming every setting of config.json that is missing or cannot be honoured. */
export function parseConfigFile<T>(schema: z.ZodType<T>, config: unknown, where: string): T {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new CheckpointError(`${where}: config.json cannot be honoured: ${problems.join("; ")}`);
}

/** @throws CheckpointError if the heads do not share the width evenly. */
export function checkHeads(
  width: number,
  heads: number,
  names: readonly [string, string],
  where: string,
): void {
  if (width % heads !== 0)
    throw new CheckpointError(`${where}: ${names[0]} ${width} is no multiple of ${names[1]} ${heads}`);
}

/** @throws CheckpointError if there is no such activation. */
export function checkActivation(name: string, key: string, where: string): string {
  if (!Object.hasOwn(activations, name))
    throw new CheckpointError(`${where}: unknown ${key} "${name}"`, {
      hint: `known: ${Object.keys(activations).join(", ")}`,
    });
  return name;
}
