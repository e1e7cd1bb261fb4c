/** The file of a fitted router, `router.safetensors`: readouts as they were fitted; what is random is drawn again. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { float32, float64, type HostTensor, uint8 } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../portable/safetensors.ts";
import { checkVersion, decodeConstants, encodeConstants, parseJson } from "../statistics/contributionFile.ts";
import type { FeatureMap } from "../statistics/featureMaps.ts";
import type { FittedRouter } from "./fit.ts";
import type { KernelReadout } from "./readouts/kernelModel.ts";
import { decodeRegistered } from "./registered.ts";
import type { DensityMember, FittedKernel, FittedNetwork, Member } from "./routerModel.ts";

const VERSION = "4";

const kindSchema = z.string();

export const featureMapSchema = z.object({
  kind: z.enum(["identity", "rounded", "relu"]),
  layers: z.array(z.number().int().nonnegative()).exactOptional(),
  size: z.number().int().positive().exactOptional(),
});

const shared = { expansion: featureMapSchema, beta: z.number(), weight: z.number() };

const networkSchema = z.object({
  type: z.literal("network"),
  ...shared,
  factor: z.number(),
  scale: z.number(),
});

const kernelSchema = z.object({ expansion: featureMapSchema, beta: z.number() });

const memberSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("affine"), ...shared }),
  z.object({
    type: z.literal("density"),
    beta: z.number(),
    weight: z.number(),
    kernel: kernelSchema,
    held: kernelSchema.exactOptional(),
    networks: z.array(networkSchema),
    share: z.number().min(0).max(1),
    known: z.array(z.int().nonnegative()),
  }),
  networkSchema,
  z.object({ type: z.literal("registered"), kind: z.string(), beta: z.number(), weight: z.number() }),
]);

const share = z.number().min(0).max(1).nullable();

const routerSchema = z.object({
  kind: kindSchema,
  labels: z.array(z.string()),
  beta: z.number(),
  members: z.array(memberSchema),
  unknown: z.object({
    standards: z.array(z.object({ mean: z.number(), deviation: z.number() })),
    slope: z.number(),
    intercept: z.number(),
  }),
  retainedBytes: z.number().int().nonnegative(),
  choice: z.object({
    kind: kindSchema,
    settings: z.record(z.string(), z.number()),
    heldOutAccuracy: share,
    heldOutRows: z.number().int().nonnegative(),
    tried: z.array(z.object({ kind: kindSchema, heldOutAccuracy: share })),
  }),
});

/** What of a member goes into the metadata; its arrays go into the tensors. */
function encodeMember(
  member: Member,
  prefix: string,
  tensors: Map<string, HostTensor>,
): z.infer<typeof memberSchema> {
  const { beta, weight: share } = member;
  if (member.type === "registered") {
    const bytes = member.router.encode?.() ?? new Uint8Array();
    tensors.set(`${prefix}/bytes`, uint8(bytes, [bytes.length]));
    return { type: "registered", kind: member.kind, beta, weight: share };
  }
  if (member.type === "affine") {
    const { expansion } = member;
    const { weight, bias } = member.readout;
    tensors.set(`${prefix}/weight`, float64(weight.values, [weight.rows, weight.columns]));
    tensors.set(`${prefix}/bias`, float64(bias, [bias.length]));
    return { type: "affine", expansion: plainFeatureMap(expansion), beta, weight: share };
  }
  if (member.type === "density") return encodeDensity(member, prefix, tensors);
  return encodeNetwork(member, prefix, tensors);
}

function encodeNetwork(
  { readout, expansion, beta, weight }: FittedNetwork,
  prefix: string,
  tensors: Map<string, HostTensor>,
): z.infer<typeof networkSchema> {
  const { offset, factor, hidden, bias, head, scale } = readout;
  tensors.set(`${prefix}/offset`, float32(offset, [offset.length]));
  tensors.set(`${prefix}/hidden`, float32(hidden.values, [hidden.rows, hidden.columns]));
  tensors.set(`${prefix}/bias`, float32(bias, [bias.length]));
  tensors.set(`${prefix}/head`, float32(head.values, [head.rows, head.columns]));
  return { type: "network", expansion: plainFeatureMap(expansion), beta, weight, factor, scale };
}

function encodeDensity(
  { kernel, networks, mixture, calibration, beta, weight }: DensityMember,
  prefix: string,
  tensors: Map<string, HostTensor>,
): Extract<z.infer<typeof memberSchema>, { type: "density" }> {
  const { share, known, prior } = mixture;
  const { scores, weights } = calibration.sets;
  tensors.set(`${prefix}/prior`, float64(prior, [prior.length]));
  tensors.set(`${prefix}/scores`, float64(scores, [scores.length]));
  tensors.set(`${prefix}/weights`, float64(weights, [weights.length]));
  return {
    type: "density",
    beta,
    weight,
    kernel: encodeKernel(kernel, `${prefix}/kernel`, tensors),
    ...(calibration.kernel && { held: encodeKernel(calibration.kernel, `${prefix}/held`, tensors) }),
    networks: networks.map((network, j) => encodeNetwork(network, `${prefix}/networks/${j}`, tensors)),
    share,
    known: [...known],
  };
}

function encodeKernel(
  { readout, expansion, beta }: FittedKernel,
  prefix: string,
  tensors: Map<string, HostTensor>,
): z.infer<typeof kernelSchema> {
  const { projection, offset, spread, kept, bias, fitBias } = readout;
  const { columns, lengths, starts, fitEnds } = kept;
  tensors.set(`${prefix}/projection`, float32(projection.values, [projection.rows, projection.columns]));
  tensors.set(`${prefix}/offset`, float64(offset, [offset.length]));
  tensors.set(`${prefix}/spread`, float64(spread, [spread.length]));
  tensors.set(`${prefix}/columns`, float32(columns.values, [columns.rows, columns.columns]));
  tensors.set(`${prefix}/lengths`, float64(lengths, [lengths.length]));
  tensors.set(`${prefix}/starts`, float64(Float64Array.from(starts), [starts.length]));
  tensors.set(`${prefix}/fitEnds`, float64(Float64Array.from(fitEnds), [fitEnds.length]));
  tensors.set(`${prefix}/bias`, float64(bias, [bias.length]));
  tensors.set(`${prefix}/fitBias`, float64(fitBias, [fitBias.length]));
  return { expansion: plainFeatureMap(expansion), beta };
}

export function plainFeatureMap({ layers, ...rest }: FeatureMap): z.infer<typeof featureMapSchema> {
  return layers === undefined ? rest : { ...rest, layers: [...layers] };
}

function decodeMember(
  member: z.infer<typeof memberSchema>,
  key: string,
  columns: number,
  tensors: ReadonlyMap<string, HostTensor>,
  file: string,
): Member {
  const { beta, weight } = member;
  const tensor = (name: string) => tensors.get(`${key}/${name}`);
  const prefix = `${file}: ${key}`;
  if (member.type === "registered") {
    const bytes = tensor("bytes")?.data;
    if (!(bytes instanceof Uint8Array)) throw new StoreError(`${prefix}/bytes: expected uint8, got none`);
    return {
      type: "registered",
      kind: member.kind,
      router: decodeRegistered(member.kind, bytes),
      beta,
      weight,
    };
  }
  if (member.type === "affine") {
    const { expansion } = member;
    const rows = tensor("weight")?.dims[0] ?? 0;
    const values = doubles(tensor("weight"), [rows, columns], `${prefix}/weight`);
    const bias = doubles(tensor("bias"), [columns], `${prefix}/bias`);
    return { type: "affine", expansion, beta, weight, readout: { weight: { rows, columns, values }, bias } };
  }
  if (member.type === "density") return decodeDensity(member, key, columns, tensors, file);
  return decodeNetwork(member, key, columns, tensors, file);
}

function decodeNetwork(
  { expansion, beta, weight, factor, scale }: z.infer<typeof networkSchema>,
  key: string,
  columns: number,
  tensors: ReadonlyMap<string, HostTensor>,
  file: string,
): FittedNetwork {
  const tensor = (name: string) => tensors.get(`${key}/${name}`);
  const prefix = `${file}: ${key}`;
  const [units = 0, width = 0] = tensor("hidden")?.dims ?? [];
  const hidden = singles(tensor("hidden"), [units, width], `${prefix}/hidden`);
  const head = singles(tensor("head"), [columns, units], `${prefix}/head`);
  const readout = {
    offset: singles(tensor("offset"), [width], `${prefix}/offset`),
    factor,
    hidden: { rows: units, columns: width, values: hidden },
    bias: singles(tensor("bias"), [units], `${prefix}/bias`),
    head: { rows: columns, columns: units, values: head },
    scale,
  };
  return { type: "network", expansion, beta, weight, readout };
}

function decodeDensity(
  member: Extract<z.infer<typeof memberSchema>, { type: "density" }>,
  key: string,
  columns: number,
  tensors: ReadonlyMap<string, HostTensor>,
  file: string,
): DensityMember {
  const { beta, weight, kernel, held, networks, share, known } = member;
  const prefix = `${file}: ${key}`;
  const rows = tensors.get(`${key}/scores`)?.dims[0] ?? 0;
  const numbers = (name: string, size: number) =>
    doubles(tensors.get(`${key}/${name}`), [size], `${prefix}/${name}`);
  const kernelAt = (own: z.infer<typeof kernelSchema>, name: string): FittedKernel => ({
    ...own,
    readout: decodeKernel((part) => tensors.get(`${key}/${name}/${part}`), `${prefix}/${name}`, columns),
  });
  if (known.some((column) => column >= columns))
    throw new StoreError(`${prefix}: known classes ${known.join(", ")}, but there are ${columns}`);
  return {
    type: "density",
    beta,
    weight,
    kernel: kernelAt(kernel, "kernel"),
    networks: networks.map((network, j) =>
      decodeNetwork(network, `${key}/networks/${j}`, columns, tensors, file),
    ),
    mixture: { share, known, prior: numbers("prior", columns) },
    calibration: {
      ...(held && { kernel: kernelAt(held, "held") }),
      sets: { scores: numbers("scores", rows), weights: numbers("weights", rows) },
    },
  };
}

function decodeKernel(
  tensor: (name: string) => HostTensor | undefined,
  prefix: string,
  columns: number,
): KernelReadout {
  const [features = 0, directions = 0] = tensor("projection")?.dims ?? [];
  const [, count = 0] = tensor("columns")?.dims ?? [];
  const projection = singles(tensor("projection"), [features, directions], `${prefix}/projection`);
  const values = singles(tensor("columns"), [directions, count], `${prefix}/columns`);
  const starts = Int32Array.from(doubles(tensor("starts"), [columns + 1], `${prefix}/starts`));
  const fitEnds = Int32Array.from(doubles(tensor("fitEnds"), [columns], `${prefix}/fitEnds`));
  const divided =
    starts[0] === 0 &&
    starts[columns] === count &&
    fitEnds.every((end, c) => starts[c]! < end && end <= starts[c + 1]!);
  if (!divided)
    throw new StoreError(
      `${prefix}: starts ${starts.join(", ")} and fitEnds ${fitEnds.join(", ")} do not divide ${count} rows among ${columns} classes`,
    );
  return {
    projection: { rows: features, columns: directions, values: projection },
    offset: doubles(tensor("offset"), [directions], `${prefix}/offset`),
    spread: doubles(tensor("spread"), [directions], `${prefix}/spread`),
    kept: {
      columns: { rows: directions, columns: count, values },
      lengths: doubles(tensor("lengths"), [count], `${prefix}/lengths`),
      starts,
      fitEnds,
    },
    bias: doubles(tensor("bias"), [columns], `${prefix}/bias`),
    fitBias: doubles(tensor("fitBias"), [columns], `${prefix}/fitBias`),
  };
}

export function singles(
  tensor: HostTensor | undefined,
  dims: readonly number[],
  where: string,
): Float32Array {
  if (!(tensor?.data instanceof Float32Array) || tensor.dims.join() !== dims.join())
    throw new StoreError(
      `${where}: expected float32 (${dims.join(", ")}), got ${tensor?.dims.join(", ") ?? "none"}`,
    );
  return tensor.data;
}

export function encodeRouter({ model, choice, retainedBytes }: FittedRouter): Uint8Array {
  const tensors = new Map<string, HostTensor>();
  const members = model.members.map((member, i) => encodeMember(member, `members/${i}`, tensors));
  const { prior, unknown } = model;
  tensors.set("unknown", float64(unknown.ofKnown, [unknown.ofKnown.length]));
  if (prior !== undefined) tensors.set("prior", float64(prior, [prior.length]));
  const { kind, labels, beta } = model;
  const router = { kind, labels, beta, members, unknown: unknown.model, retainedBytes, choice };
  return encodeSafetensors(tensors, {
    version: VERSION,
    constants: encodeConstants(model.constants),
    router: JSON.stringify(router),
  });
}

export function doubles(
  tensor: HostTensor | undefined,
  dims: readonly number[],
  where: string,
): Float64Array {
  if (!(tensor?.data instanceof Float64Array) || tensor.dims.join() !== dims.join())
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
): Pick<FittedRouter, "model" | "choice" | "retainedBytes"> {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  checkVersion(metadata.get("version"), VERSION, where);
  const constants = decodeConstants(metadata.get("constants"), where);
  const parsed = parseJson(routerSchema, metadata.get("router"), `${where}: router`);
  const { kind, labels, beta, retainedBytes, choice } = parsed;
  const held = tensors.get("unknown");
  const ofKnown = doubles(held, [held?.dims[0] ?? 0], `${where}: unknown`);
  const unknown = { model: parsed.unknown, ofKnown };
  const members = parsed.members.map((member, i) =>
    decodeMember(member, `members/${i}`, labels.length, tensors, where),
  );
  const prior = tensors.has("prior") && {
    prior: doubles(tensors.get("prior"), [labels.length], `${where}: prior`),
  };
  return { model: { kind, labels, constants, members, beta, ...prior, unknown }, choice, retainedBytes };
}
