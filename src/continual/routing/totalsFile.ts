// Dimensions: M numbers of an expansion, C classes.
/** The file of totals without contributions, `totals.safetensors`. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { float64, type HostTensor } from "../../core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../io/safetensors.ts";
import { copyLower, packedLength } from "../../linalg/lower.ts";
import { ClassTotals } from "./classTotals.ts";
import {
  checkVersion,
  decodeConstants,
  encodeConstants,
  packRows,
  parseJson,
  unpackRows,
} from "./contributionFile.ts";
import { keep } from "./statistics.ts";
import { emptyTotals, type Totals } from "./totals.ts";
import { routerKinds } from "./types.ts";

const VERSION = "1";

const contentSchema = z.object({
  kinds: z.array(z.enum(routerKinds)),
  counted: z.array(z.string()),
  heldOut: z.array(z.string()),
  totals: z.array(
    z.object({
      expansion: z.string(),
      size: z.number().int().positive(),
      second: z.boolean(),
      classes: z.array(z.tuple([z.string(), z.number().int().positive()])),
    }),
  ),
});

/** The lower triangle, row by row. */
function packLower({ layout, size: n }: Totals, values: Float64Array): HostTensor<"float64"> {
  const packed = { layout: "packed", n, values: new Float64Array(packedLength(n)) } as const;
  return float64(copyLower({ layout, n, values }, packed), [packedLength(n)]);
}

/** Tensors `held-out/<i>` as in the file of contributions, `totals/<i>/sums` (C, M), `totals/<i>/second` packed. */
export function encodeTotals(statistics: ClassTotals): Uint8Array {
  const tensors = new Map<string, HostTensor>();
  statistics.contributions.forEach(({ rows }, i) => {
    tensors.set(`held-out/${i}`, packRows(rows));
  });
  const totals = [...statistics.entries()].map(([expansion, own], i) => {
    const { size, classes, second } = own;
    const sums = new Float64Array(classes.size * size);
    [...classes.values()].forEach(({ sum }, c) => {
      sums.set(sum, c * size);
    });
    tensors.set(`totals/${i}/sums`, float64(sums, [classes.size, size]));
    if (second !== undefined) tensors.set(`totals/${i}/second`, packLower(own, second));
    const counts = [...classes].map(([label, { count }]): [string, number] => [label, count]);
    return { expansion, size, second: second !== undefined, classes: counts };
  });
  const { kinds, counted, contributions } = statistics;
  const heldOut = contributions.map(({ label }) => label);
  const content = { kinds, counted: [...counted].sort(), heldOut, totals };
  return encodeSafetensors(tensors, {
    version: VERSION,
    constants: encodeConstants(statistics.constants),
    content: JSON.stringify(content),
  });
}

function decodeOne(
  { size, second, classes }: z.infer<typeof contentSchema>["totals"][number],
  sums: HostTensor | undefined,
  packed: HostTensor | undefined,
  where: string,
): Totals {
  const totals = emptyTotals(size, second);
  if (!(sums?.data instanceof Float64Array) || sums.dims.join() !== `${classes.length},${size}`)
    throw new StoreError(`${where}: expected float64 sums (${classes.length}, ${size})`);
  for (const [c, [label, count]] of classes.entries()) {
    totals.classes.set(label, { count, sum: sums.data.slice(c * size, (c + 1) * size) });
    totals.rows += count;
  }
  if (totals.second === undefined) return totals;
  if (!(packed?.data instanceof Float64Array) || packed.data.length !== packedLength(size))
    throw new StoreError(`${where}: expected the float64 lower triangle of ${size} by ${size}`);
  const { layout, second: values } = totals;
  copyLower({ layout: "packed", n: size, values: packed.data }, { layout, n: size, values });
  return totals;
}

/**
 * @param where names the file in errors
 * @throws StoreError if the file is of another version or damaged
 */
export function decodeTotals(bytes: Uint8Array, where: string): ClassTotals {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  checkVersion(metadata.get("version"), VERSION, where);
  const constants = decodeConstants(metadata.get("constants"), where);
  const { kinds, counted, heldOut, totals } = parseJson(
    contentSchema,
    metadata.get("content"),
    `${where}: content`,
  );
  return ClassTotals.restore({
    constants,
    kinds,
    counted: new Set(counted),
    contributions: heldOut.map((label, i) =>
      keep({
        label,
        role: "judge",
        rows: unpackRows(tensors.get(`held-out/${i}`), constants.width, `${where}: held-out/${i}`),
      }),
    ),
    totals: new Map(
      totals.map((one, i) => [
        one.expansion,
        decodeOne(
          one,
          tensors.get(`totals/${i}/sums`),
          tensors.get(`totals/${i}/second`),
          `${where}: totals/${i}`,
        ),
      ]),
    ),
  });
}
