/** The file of a fitted detector, `detector.safetensors`: triangles and readouts in float32, rows after each other. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { float32, float64, type HostTensor } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../io/safetensors.ts";
import type { Matrix } from "../../linalg/algebra.ts";
import { copyLower, mirrorLower, packedLength } from "../../linalg/lower.ts";
import type { Readout } from "../routers/readouts/closedForm.ts";
import { doubles, featureMapSchema, plainFeatureMap, singles } from "../routers/routerFile.ts";
import { checkVersion, decodeConstants, encodeConstants, parseJson } from "../statistics/contributionFile.ts";
import type { DetectorModel, Evidence } from "./detectorModel.ts";

const VERSION = "1";

const standardSchema = z.object({ mean: z.number(), deviation: z.number().positive() });

const evidenceSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("distances"),
    parts: z.array(z.object({ expansion: featureMapSchema, constant: z.number() })),
    standard: standardSchema,
  }),
  z.object({ type: z.literal("logits"), expansion: featureMapSchema, standard: standardSchema }),
]);

const detectorSchema = z.object({
  threshold: z.number(),
  falseRejectRate: z.number(),
  evidence: z.array(evidenceSchema),
});

type Tensors = Map<string, HostTensor>;

/** The lower triangle of a symmetric matrix, row after row. */
function packSymmetric({ rows: n, values }: Matrix): HostTensor<"float32"> {
  const packed = { layout: "packed", n, values: new Float32Array(packedLength(n)) } as const;
  return float32(copyLower({ layout: "square", n, values }, packed), [packedLength(n)]);
}

function unpackSymmetric(packed: Float32Array, n: number): Matrix {
  const square = { layout: "square", n, values: new Float64Array(n * n) } as const;
  const values = mirrorLower(copyLower({ layout: "packed", n, values: packed }, square), n);
  return { rows: n, columns: n, values };
}

function encodeReadout({ weight, bias }: Readout, prefix: string, tensors: Tensors): void {
  tensors.set(`${prefix}/weight`, float32(new Float32Array(weight.values), [weight.rows, weight.columns]));
  tensors.set(`${prefix}/bias`, float64(bias, [bias.length]));
}

function decodeReadout(tensors: ReadonlyMap<string, HostTensor>, prefix: string, where: string): Readout {
  const weight = tensors.get(`${prefix}/weight`);
  const [rows = 0, columns = 0] = weight?.dims ?? [];
  const values = Float64Array.from(singles(weight, [rows, columns], `${where}: ${prefix}/weight`));
  const bias = doubles(tensors.get(`${prefix}/bias`), [columns], `${where}: ${prefix}/bias`);
  return { weight: { rows, columns, values }, bias };
}

function encodeEvidence(
  evidence: Evidence,
  prefix: string,
  tensors: Tensors,
): z.infer<typeof evidenceSchema> {
  const { standard } = evidence;
  if (evidence.type === "logits") {
    encodeReadout(evidence.readout, prefix, tensors);
    return { type: "logits", expansion: plainFeatureMap(evidence.expansion), standard };
  }
  const parts = evidence.parts.map(({ expansion, distance }, i) => {
    const { quadratic, linear, constant, discriminant } = distance;
    tensors.set(`${prefix}/${i}/quadratic`, packSymmetric(quadratic));
    tensors.set(`${prefix}/${i}/linear`, float64(linear, [linear.length]));
    encodeReadout(discriminant, `${prefix}/${i}`, tensors);
    return { expansion: plainFeatureMap(expansion), constant };
  });
  return { type: "distances", parts, standard };
}

function decodeEvidence(
  evidence: z.infer<typeof evidenceSchema>,
  prefix: string,
  tensors: ReadonlyMap<string, HostTensor>,
  where: string,
): Evidence {
  if (evidence.type === "logits") return { ...evidence, readout: decodeReadout(tensors, prefix, where) };
  const parts = evidence.parts.map(({ expansion, constant }, i) => {
    const own = `${prefix}/${i}`;
    const discriminant = decodeReadout(tensors, own, where);
    const size = discriminant.weight.rows;
    const packed = tensors.get(`${own}/quadratic`);
    const quadratic = unpackSymmetric(
      singles(packed, [packedLength(size)], `${where}: ${own}/quadratic`),
      size,
    );
    const linear = doubles(tensors.get(`${own}/linear`), [size], `${where}: ${own}/linear`);
    return { expansion, distance: { quadratic, linear, constant, discriminant } };
  });
  return { ...evidence, parts };
}

export function encodeDetector({
  constants,
  threshold,
  falseRejectRate,
  evidence,
}: DetectorModel): Uint8Array {
  const tensors: Tensors = new Map();
  const encoded = evidence.map((each, i) => encodeEvidence(each, `evidence/${i}`, tensors));
  return encodeSafetensors(tensors, {
    version: VERSION,
    constants: encodeConstants(constants),
    detector: JSON.stringify({ threshold, falseRejectRate, evidence: encoded }),
  });
}

/**
 * @param where names the file in errors
 * @throws StoreError if the file is of another version or damaged
 */
export function decodeDetector(bytes: Uint8Array, where: string): DetectorModel {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  checkVersion(metadata.get("version"), VERSION, where);
  const constants = decodeConstants(metadata.get("constants"), where);
  const parsed = parseJson(detectorSchema, metadata.get("detector"), `${where}: detector`);
  const evidence = parsed.evidence.map((each, i) => decodeEvidence(each, `evidence/${i}`, tensors, where));
  if (evidence.length === 0) throw new StoreError(`${where}: a detector without evidence`);
  return { ...parsed, constants, evidence };
}
