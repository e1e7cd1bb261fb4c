/** The file of a fitted router, `router.safetensors`: readouts as they were fitted; what is random is drawn again. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { float64, type HostTensor } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../io/safetensors.ts";
import { checkVersion, decodeConstants, encodeConstants, parseJson } from "./contributionFile.ts";
import type { FittedRouter } from "./fit.ts";
import type { Member } from "./routerModel.ts";
import { routerKinds } from "./types.ts";

const VERSION = "1";

const kindSchema = z.enum(routerKinds);

const expansionSchema = z.object({
  kind: z.enum(["identity", "relu", "fourier"]),
  layers: z.array(z.number().int().nonnegative()).exactOptional(),
  size: z.number().int().positive().exactOptional(),
  draw: z.number().int().nonnegative().exactOptional(),
  bandwidth: z.number().positive().exactOptional(),
});

const memberSchema = z.object({
  type: z.literal("affine"),
  expansion: expansionSchema,
  beta: z.number(),
  weight: z.number(),
});

const share = z.number().min(0).max(1).nullable();

const routerSchema = z.object({
  kind: kindSchema,
  labels: z.array(z.string()),
  beta: z.number(),
  members: z.array(memberSchema),
  retainedBytes: z.number().int().nonnegative(),
  choice: z.object({
    kind: kindSchema,
    settings: z.record(z.string(), z.number()),
    heldOutAccuracy: share,
    heldOutRows: z.number().int().nonnegative(),
    tried: z.array(z.object({ kind: kindSchema, heldOutAccuracy: share })),
  }),
});

export function encodeRouter({ model, choice, retainedBytes }: FittedRouter): Uint8Array {
  const tensors = new Map<string, HostTensor>();
  const members = model.members.map(
    ({ type, expansion, readout: { weight, bias }, beta, weight: share }, i) => {
      tensors.set(`members/${i}/weight`, float64(weight.values, [weight.rows, weight.columns]));
      tensors.set(`members/${i}/bias`, float64(bias, [bias.length]));
      return { type, expansion, beta, weight: share };
    },
  );
  const router = { kind: model.kind, labels: model.labels, beta: model.beta, members, retainedBytes, choice };
  return encodeSafetensors(tensors, {
    version: VERSION,
    constants: encodeConstants(model.constants),
    router: JSON.stringify(router),
  });
}

function doubles(tensor: HostTensor | undefined, dims: readonly number[], where: string): Float64Array {
  if (!(tensor?.data instanceof Float64Array) || dims.some((dim, i) => tensor.dims[i] !== dim))
    throw new StoreError(
      `${where}: expected float64 (${dims.join(", ")}), got ${tensor?.dims.join(", ") ?? "none"}`,
    );
  return tensor.data;
}

/**
 * @param where names the file in errors
 * @throws StoreError if the file is of another version or damaged
 */
export function decodeRouter(
  bytes: Uint8Array,
  where: string,
): Omit<FittedRouter, "posterior" | "kind" | "labels"> {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  checkVersion(metadata.get("version"), VERSION, where);
  const constants = decodeConstants(metadata.get("constants"), where);
  const parsed = parseJson(routerSchema, metadata.get("router"), `${where}: router`);
  const { kind, labels, beta, retainedBytes, choice } = parsed;
  const columns = labels.length;
  const members = parsed.members.map((member, i): Member => {
    const name = `members/${i}/weight`;
    const tensor = tensors.get(name);
    const rows = tensor?.dims[0] ?? 0;
    const values = doubles(tensor, [rows, columns], `${where}: ${name}`);
    const bias = doubles(tensors.get(`members/${i}/bias`), [columns], `${where}: members/${i}/bias`);
    return { ...member, readout: { weight: { rows, columns, values }, bias } };
  });
  return { model: { kind, labels, constants, members, beta }, choice, retainedBytes };
}
