// Dimensions: n rows, C classes, J networks.
/**
 * A density of every class with networks beside it: how log-posteriors are mixed, and how much the networks count.
 */
import type { Matrix } from "../../../linalg/algebra.ts";
import { fitInverseTemperature, logSoftmax } from "./calibration.ts";

/** Classes of fewer rows are left to the density: networks hardly ever name them. */
export const ROWS_FOR_NETWORKS = 20;
/** Shares of the networks that are tried. The density keeps a part in any case. */
const SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7] as const;
/** As many rows as would say so weigh that the networks add nothing; fewer are no evidence at all. */
const PRIOR_ROWS = 20;

/** Whether so many rows that calibrate, and so many classes that networks know, can speak for networks. */
export function canJudgeNetworks(rows: number, known: readonly number[]): boolean {
  return rows >= PRIOR_ROWS && known.length >= 2;
}

/** Log-posteriors of rows, each (n, C) row-major. */
export interface MemberLogs {
  readonly density: Float64Array;
  /** Log-softmax of calibrated logits less the log of the classes' shares among the rows fitted to. */
  readonly networks: readonly Float64Array[];
}

function logSumOver(values: Float64Array, start: number, columns: readonly number[]): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const c of columns) largest = Math.max(largest, values[start + c]!);
  let sum = 0;
  for (const c of columns) sum += Math.exp(values[start + c]! - largest);
  return largest + Math.log(sum);
}

/**
 * What the density gives to the classes that the networks know is shared out among them anew, by
 * (1 − w)·log p_density(c) + w·mean_j log p_j(c); all other classes keep what the density gave them.
 * @param known the columns of the classes that the networks know
 * @returns (n, C)
 */
export function mixLogs(
  { density, networks }: MemberLogs,
  classes: number,
  known: readonly number[],
  share: number,
): Float64Array {
  const mixed = density.slice();
  if (share === 0 || networks.length === 0 || known.length < 2) return mixed;
  for (let start = 0; start < mixed.length; start += classes) {
    const before = logSumOver(density, start, known);
    for (const c of known) {
      let sum = 0;
      for (const network of networks) sum += network[start + c]!;
      mixed[start + c] = (1 - share) * density[start + c]! + (share * sum) / networks.length;
    }
    const given = before - logSumOver(mixed, start, known);
    for (const c of known) mixed[start + c]! += given;
  }
  return mixed;
}

/**
 * The networks' share: that of the largest gain in log-loss on rows that nothing was fitted to, less one standard error of the
 * gain, so that chance is no evidence; rows that would say that there is no gain are counted in.
 * @param targets (n)
 */
export function networkShare(
  logs: MemberLogs,
  targets: Int32Array,
  classes: number,
  known: readonly number[],
): number {
  const rows = targets.length;
  if (logs.networks.length === 0 || !canJudgeNetworks(rows, known)) return 0;
  const lossesAt = (share: number): Float64Array => {
    const logits: Matrix = { rows, columns: classes, values: mixLogs(logs, classes, known, share) };
    const { values } = logSoftmax(logits, fitInverseTemperature(logits, targets));
    return Float64Array.from(targets, (target, row) => -values[row * classes + target]!);
  };
  const alone = lossesAt(0);
  let [best, most] = [0, 0];
  for (const share of SHARES.slice(1)) {
    const gains = lossesAt(share).map((loss, row) => alone[row]! - loss);
    const n = rows + PRIOR_ROWS;
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / n;
    const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) + PRIOR_ROWS * mean ** 2;
    const bound = mean - Math.sqrt(squares) / n;
    if (bound > most) [best, most] = [share, bound];
  }
  return best;
}
