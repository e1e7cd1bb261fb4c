// Dimensions: n rows, F routing features.
/** Which rows fit and which choose: a function of the rows alone, in an order that hangs on nothing else. */

import { hashRow, isHeldOut, takeRows } from "../statistics/fixedRows.ts";
import { type ClassStatistics, compareCodeUnits, type KeptContribution } from "../statistics/statistics.ts";
import type { LabelledRows } from "../statistics/totals.ts";
import { joinRows } from "../statistics/totals.ts";
import type { FixedRows } from "../types.ts";

/** Held-out rows that are looked at: those of the smallest hash where there are more. */
const MOST_HELD_OUT = 4096;

/** A row with its hash; asked for again, a contribution's are the same objects. */
export interface HashedRow {
  readonly label: string;
  readonly hash: number;
  /** (F) */
  readonly values: Int16Array;
}

/** A contribution's rows that fit, and those that choose. */
export interface SplitContribution {
  readonly fit: FixedRows;
  readonly fitRows: readonly HashedRow[];
  readonly heldOut: readonly HashedRow[];
}

const splits = new WeakMap<KeptContribution, SplitContribution>();

/** Of a contribution's rows those that are held out, whatever their hash says where its role says it all. */
function holdsOut({ role }: KeptContribution, hash: number): boolean {
  return role === undefined ? isHeldOut(hash) : role === "judge";
}

/** Splits a contribution; asked again, the same answer without work. */
export function splitContribution(kept: KeptContribution): SplitContribution {
  const known = splits.get(kept);
  if (known !== undefined) return known;
  const fitting: number[] = [];
  const fitRows: HashedRow[] = [];
  const heldOut: HashedRow[] = [];
  for (const [row, hashed] of hashRows(kept).entries()) {
    if (holdsOut(kept, hashed.hash)) heldOut.push(hashed);
    else {
      fitting.push(row);
      fitRows.push(hashed);
    }
  }
  const { rows } = kept;
  const split = { fit: fitting.length === rows.rows ? rows : takeRows(rows, fitting), fitRows, heldOut };
  splits.set(kept, split);
  return split;
}

function hashRows({ label, rows: { rows, width, values } }: LabelledRows): HashedRow[] {
  return Array.from({ length: rows }, (_, row) => {
    const own = values.subarray(row * width, (row + 1) * width);
    return { label, hash: hashRow(own), values: own };
  });
}

function compareRows(a: HashedRow, b: HashedRow): number {
  if (a.hash !== b.hash) return a.hash - b.hash;
  for (let i = 0; i < a.values.length; i++)
    if (a.values[i] !== b.values[i]) return a.values[i]! - b.values[i]!;
  return 0;
}

export function rowsOf(hashed: readonly HashedRow[], width: number): FixedRows {
  const pieces = hashed.map(({ values }) => ({ rows: 1, width, values }));
  return joinRows(pieces, width);
}

/** Rows of a class in an order that hangs on the rows alone. */
function hashedRows(
  contributions: readonly KeptContribution[],
  label: string,
  part: "fit" | "all" = "all",
): HashedRow[] {
  const own = contributions.filter((kept) => kept.label === label);
  const rows = own.flatMap((kept) => {
    const { fitRows, heldOut } = splitContribution(kept);
    return part === "all" ? [...fitRows, ...heldOut] : fitRows;
  });
  return rows.sort(compareRows);
}

/** Rows with the class of each, as its place among the labels. */
export interface TargetedRows {
  readonly rows: FixedRows;
  readonly targets: Int32Array;
}

/**
 * Rows to train on, by label, then by hash.
 * @param part `fit`: without those held out
 */
export function trainingRows(
  { contributions, labels, constants }: Pick<ClassStatistics, "contributions" | "labels" | "constants">,
  part: "fit" | "all",
): TargetedRows {
  const chosen = labels.flatMap((label) => {
    const fitting = hashedRows(contributions, label, part);
    return fitting.length > 0 ? fitting : hashedRows(contributions, label).slice(0, 1);
  });
  const places = new Map(labels.map((label, place) => [label, place]));
  return {
    rows: rowsOf(chosen, constants.width),
    targets: Int32Array.from(chosen, ({ label }) => places.get(label) ?? 0),
  };
}

/** All rows of statistics, each in its part. */
export interface Split {
  /** Of classes that all rows of were held out: one row each, which fits after all. */
  readonly promotedHeldOutRows: readonly LabelledRows[];
  /** Every row held out, but for those; to be added for the last fit. */
  readonly heldOut: readonly LabelledRows[];
  /**
   * The rows that choose, by label, then by hash: of those held out at most {@link MOST_HELD_OUT}; where none is, rows that
   * fit as well, so that probabilities have a scale at least.
   */
  readonly judges: FixedRows;
  /** How many of the judges were held out: all or none. */
  readonly heldOutRows: number;
  /** The class of each, as its place among the labels. */
  readonly targets: Int32Array;
}

/**
 * Splits statistics by rows.
 * @param labels sorted by code unit
 */
export function splitStatistics(
  contributions: readonly KeptContribution[],
  labels: readonly string[],
  width: number,
): Split {
  const fitting = new Set<string>();
  const rows = new Map<string, HashedRow[]>(labels.map((label) => [label, []]));
  for (const kept of contributions) {
    const { fit, heldOut } = splitContribution(kept);
    if (fit.rows > 0) fitting.add(kept.label);
    rows.get(kept.label)?.push(...heldOut);
  }
  for (const own of rows.values()) own.sort(compareRows);
  const promotedHeldOutRows: LabelledRows[] = [];
  for (const [label, own] of rows) {
    if (fitting.has(label)) continue;
    promotedHeldOutRows.push({ label, rows: rowsOf(own.splice(0, 1), width) });
  }
  const all = [...rows.values()].flat();
  let chosen = all.length > 0 ? all : labels.flatMap((label) => hashedRows(contributions, label));
  if (chosen.length > MOST_HELD_OUT)
    chosen = [...chosen]
      .sort(compareRows)
      .slice(0, MOST_HELD_OUT)
      .sort((a, b) => compareCodeUnits(a.label, b.label) || compareRows(a, b));
  const places = new Map(labels.map((label, place) => [label, place]));
  return {
    promotedHeldOutRows,
    heldOut: [...rows]
      .filter(([, own]) => own.length > 0)
      .map(([label, own]) => ({ label, rows: rowsOf(own, width) })),
    judges: rowsOf(chosen, width),
    heldOutRows: all.length > 0 ? chosen.length : 0,
    targets: Int32Array.from(chosen, ({ label }) => places.get(label) ?? 0),
  };
}

/** Of fewer held-out rows half calibrate, so that enough are left to fit to. */
const FEW_HELD_OUT = 512;
/** Rows taken from the train texts to calibrate, at most: more would say hardly more, and are worth more where they are fitted to. */
const MOST_TAKEN = 1536;
/** Classes of so many rows are established: what all classes share follows from them alone … */
const ENOUGH_ROWS = 10;
/** … where there are so many of them. */
const ENOUGH_CLASSES = 20;

/** Rows by label, then by hash, that are copied a part at a time. */
export interface RowList {
  /** (n): the class of each, rising. */
  readonly targets: Int32Array;
  /** Rows [start, end). */
  take(start: number, end: number): FixedRows;
}

export interface HashedRowList extends RowList {
  readonly rows: readonly HashedRow[];
}

/** Rows that calibrate a router, and all others, which it is fitted to. */
export interface CalibrationSplit {
  /**
   * Columns of the established classes, rising: those with enough rows, where there are enough of them; else all. A class of
   * few rows then changes nothing but what is said of itself.
   */
  readonly established: readonly number[];
  readonly fit: HashedRowList;
  /** Of established classes. */
  readonly calibrating: HashedRowList;
}

/**
 * Those of the held-out rows that calibrate, by their hashes. Texts that were held out as such resemble those to come more than train
 * texts resemble each other, so they come first, and all of them count.
 * @param given held out as such
 */
function calibratingRows(
  heldOut: readonly HashedRow[],
  given: ReadonlySet<HashedRow>,
): ReadonlySet<HashedRow> {
  const ordered = [
    ...heldOut.filter((row) => given.has(row)).sort(compareRows),
    ...heldOut.filter((row) => !given.has(row)).sort(compareRows),
  ];
  const few = heldOut.length < FEW_HELD_OUT;
  const most = Math.min(MOST_HELD_OUT, Math.max(MOST_TAKEN, given.size));
  return new Set(ordered.slice(0, few ? heldOut.length >> 1 : most));
}

/**
 * Splits statistics into rows that calibrate and all others: of the rows held out those of the smallest hashes. A class of which
 * all rows would calibrate gives one back.
 */
export function calibrationSplit(statistics: ClassStatistics): CalibrationSplit {
  const { contributions, labels, constants } = statistics;
  const known = new Map<string, { fit: HashedRow[]; heldOut: HashedRow[] }>(
    labels.map((label) => [label, { fit: [], heldOut: [] }]),
  );
  const given = new Set<HashedRow>();
  for (const kept of contributions) {
    const { fitRows, heldOut } = splitContribution(kept);
    const own = known.get(kept.label)!;
    own.fit.push(...fitRows);
    own.heldOut.push(...heldOut);
    if (kept.role === "judge") for (const row of heldOut) given.add(row);
  }
  for (const { fit, heldOut } of known.values()) {
    heldOut.sort(compareRows);
    if (fit.length === 0) fit.push(...heldOut.splice(0, 1));
  }
  const parts = [...known.values()];
  const columns = [...parts.keys()];
  const large = columns.filter((c) => parts[c]!.fit.length + parts[c]!.heldOut.length >= ENOUGH_ROWS);
  const established = large.length >= ENOUGH_CLASSES ? large : columns;
  const calibrating = calibratingRows(
    established.flatMap((c) => parts[c]!.heldOut),
    given,
  );
  const fit = parts.map((own) => [...own.fit, ...own.heldOut.filter((row) => !calibrating.has(row))]);
  for (const own of fit) own.sort(compareRows);
  const held = parts.map(({ heldOut }) => heldOut.filter((row) => calibrating.has(row)));
  return {
    established,
    fit: listOf(fit, constants.width),
    calibrating: listOf(held, constants.width),
  };
}

/** The split with every row to fit to, and none that calibrates. */
export function withoutCalibrating(
  { established, fit, calibrating }: CalibrationSplit,
  { labels, constants }: Pick<ClassStatistics, "labels" | "constants">,
): CalibrationSplit {
  const byClass = labels.map((): HashedRow[] => []);
  for (const list of [fit, calibrating])
    for (const [i, row] of list.rows.entries()) byClass[list.targets[i]!]!.push(row);
  for (const own of byClass) own.sort(compareRows);
  return { established, fit: listOf(byClass, constants.width), calibrating: listOf([], constants.width) };
}

/** @param byClass rows of each class, in the order of the labels */
function listOf(byClass: readonly (readonly HashedRow[])[], width: number): HashedRowList {
  const rows = byClass.flat();
  return {
    rows,
    targets: Int32Array.from(byClass.flatMap((own, place) => own.map(() => place))),
    take: (start, end) => rowsOf(rows.slice(start, end), width),
  };
}

/** Rows that lie together already. */
export function toRowList({ rows: { width, values }, targets }: TargetedRows): RowList {
  return {
    targets,
    take: (start, end) => ({ rows: end - start, width, values: values.subarray(start * width, end * width) }),
  };
}
