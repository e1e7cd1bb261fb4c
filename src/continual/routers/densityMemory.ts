// Dimensions: n rows, K directions, h rows that calibrate.
/**
 * What a density's fit leaves to the next one. Where established classes stay as they are, so do its directions; then rows that were
 * projected are not projected again, and what the rows that calibrate say of a class is computed again only where its rows changed.
 */

import type { FeatureMap } from "../statistics/featureMaps.ts";
import { featureMapKey } from "../statistics/featureMaps.ts";
import type { ClassStatistics } from "../statistics/statistics.ts";
import { type CalibrationSplit, calibrationSplit, type HashedRow } from "./heldOut.ts";
import { type Directions, type KernelReadout, rowsIn } from "./readouts/kernelModel.ts";

/** Rows of a class that are kept, those of the smallest hashes: so that an answer's cost has a bound. */
const MOST_ROWS = 512;

/** Rows of a class that a density keeps, and those of them that calibrate. */
interface KeptRows {
  readonly fit: HashedRow[];
  readonly calibrating: HashedRow[];
}

/** @returns of each class */
export function keptOf({ fit, calibrating }: CalibrationSplit, classes: number): KeptRows[] {
  const kept = Array.from({ length: classes }, (): KeptRows => ({ fit: [], calibrating: [] }));
  for (const [i, row] of fit.rows.entries()) {
    const own = kept[fit.targets[i]!]!.fit;
    if (own.length < MOST_ROWS) own.push(row);
  }
  for (const [i, row] of calibrating.rows.entries()) {
    const own = kept[calibrating.targets[i]!]!;
    if (own.fit.length + own.calibrating.length < MOST_ROWS) own.calibrating.push(row);
  }
  return kept;
}

/** What the rows that calibrate say of one class. */
export interface ClassSums {
  /** Names the class's rows. */
  readonly key: string;
  /** (h), of the rows that are fitted to. */
  readonly fit: Float64Array;
}

/** All that goes with one set of directions. */
export interface KnownDirections {
  readonly key: string;
  readonly directions: Directions;
  /** Each (K). */
  readonly projected: ReadonlyMap<HashedRow, Float32Array>;
  /** By label. */
  readonly sums: ReadonlyMap<string, ClassSums>;
}

/** Names what directions and the choice of rows that calibrate follow from. */
export function directionsKey(
  { labels, contributions, constants }: ClassStatistics,
  expansion: FeatureMap,
  { established, calibrating }: Pick<CalibrationSplit, "established" | "calibrating">,
): string {
  const own = new Set(established.map((c) => labels[c]!));
  const ids = contributions.filter(({ label }) => own.has(label)).map(({ id }) => id);
  return JSON.stringify([constants, featureMapKey(expansion), calibrating.rows.length, ids]);
}

/** The latest directions, and those of a router that was read. */
export class DensityMemory {
  private known: KnownDirections | undefined;
  private read: (() => KnownDirections) | undefined;

  /** What is known of these directions. */
  find(key: string): KnownDirections | undefined {
    if (this.known?.key === key) return this.known;
    const read = this.read?.();
    this.read = undefined;
    return read?.key === key ? read : undefined;
  }

  keep(known: KnownDirections): void {
    this.known = known;
    this.read = undefined;
  }

  /** @param statistics that the density was fitted to */
  remember(
    { readout, expansion }: { readonly readout: KernelReadout; readonly expansion: FeatureMap },
    statistics: ClassStatistics,
  ): void {
    if (this.known !== undefined) return;
    this.read = () => {
      const split = calibrationSplit(statistics);
      const rows = keptOf(split, statistics.labels.length).flatMap(({ fit, calibrating }) => [
        ...fit,
        ...calibrating,
      ]);
      const projected = new Map(rowsIn(readout.kept).map((values, i) => [rows[i]!, values]));
      const { projection, offset, spread } = readout;
      return {
        key: directionsKey(statistics, expansion, split),
        directions: { projection, offset, spread },
        projected,
        sums: new Map(),
      };
    };
  }
}
