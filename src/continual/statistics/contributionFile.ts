/** The file of a task's contributions, `statistics.safetensors`: rows as int16, little-endian, two bytes a number. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { type HostTensor, uint8 } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../portable/safetensors.ts";
import type { FeatureConstants, FixedRows } from "../types.ts";
import type { Contribution } from "./statistics.ts";

const VERSION = "1";

const constantsSchema = z.object({
  backbone: z.string(),
  layers: z.array(z.number().int().nonnegative()),
  width: z.number().int().positive(),
  seed: z.number().int(),
  featureAdapter: z.string().optional(),
});

const labelsSchema = z.array(z.string());
/** One a contribution; null where its rows are split by their hash. */
const rolesSchema = z.array(z.enum(["fit", "judge", "outside"]).nullable());

export interface ContributionFile {
  readonly constants: FeatureConstants;
  readonly contributions: readonly Contribution[];
}

export function encodeConstants(constants: FeatureConstants): string {
  const { backbone, layers, width, seed, featureAdapter } = constants;
  return JSON.stringify({
    backbone,
    layers,
    width,
    seed,
    ...(featureAdapter !== undefined && { featureAdapter }),
  });
}

/** @throws StoreError naming `where` */
export function decodeConstants(text: string | undefined, where: string): FeatureConstants {
  const { featureAdapter, ...constants } = parseJson(constantsSchema, text, `${where}: constants`);
  return featureAdapter === undefined ? constants : { ...constants, featureAdapter };
}

/** @throws StoreError naming `where` */
export function parseJson<T>(schema: z.ZodType<T>, text: string | undefined, where: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch (cause) {
    throw new StoreError(`${where} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new StoreError(`${where} does not hold what it should: ${z.prettifyError(parsed.error)}`);
}

function packRows({ rows, width, values }: FixedRows): HostTensor<"uint8"> {
  return uint8(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), [rows, width, 2]);
}

/** @throws StoreError naming `where` if the tensor is not one of int16 rows of that width */
function unpackRows(tensor: HostTensor | undefined, width: number, where: string): FixedRows {
  const [rows = 0] = tensor?.dims ?? [];
  if (
    tensor === undefined ||
    !(tensor.data instanceof Uint8Array) ||
    tensor.dims.join() !== `${rows},${width},2`
  )
    throw new StoreError(
      `${where}: expected bytes of shape (n, ${width}, 2), got ${tensor?.dims.join() ?? "none"}`,
    );
  return { rows, width, values: new Int16Array(tensor.data.slice().buffer) };
}

/** Tensor `rows/<i>` holds the i-th contribution's rows, metadata `labels` their labels, `roles` their roles if any has one. */
export function encodeContributions({ constants, contributions }: ContributionFile): Uint8Array {
  const tensors = new Map<string, HostTensor>(
    contributions.map(({ rows }, i) => [`rows/${i}`, packRows(rows)]),
  );
  const labels = JSON.stringify(contributions.map(({ label }) => label));
  const roles = contributions.map(({ role }) => role ?? null);
  return encodeSafetensors(tensors, {
    version: VERSION,
    constants: encodeConstants(constants),
    labels,
    ...(roles.some((role) => role !== null) && { roles: JSON.stringify(roles) }),
  });
}

/**
 * @param where names the file in errors
 * @throws StoreError if the file is of another version or damaged
 */
export function decodeContributions(bytes: Uint8Array, where: string): ContributionFile {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  checkVersion(metadata.get("version"), VERSION, where);
  const constants = decodeConstants(metadata.get("constants"), where);
  const labels = parseJson(labelsSchema, metadata.get("labels"), `${where}: labels`);
  const roles = parseJson(rolesSchema, metadata.get("roles") ?? "[]", `${where}: roles`);
  const contributions = labels.map((label, i) => {
    const rows = unpackRows(tensors.get(`rows/${i}`), constants.width, `${where}: rows/${i}`);
    const role = roles[i];
    return { label, rows, ...(role && { role }) };
  });
  return { constants, contributions };
}

/** @throws StoreError if a file is of another version, or none of ours */
export function checkVersion(found: string | undefined, known: string, where: string): void {
  if (found !== known)
    throw new StoreError(`${where}: version ${found ?? "(none)"} of the file, this release reads ${known}`, {
      hint: "open it with the release that wrote it, or learn the classes again",
    });
}
