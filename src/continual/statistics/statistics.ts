// Dimensions: n rows, F routing features, C classes.
/** What is kept of the classes seen: rows of features, never text. */
import { DataError, StoreError } from "../../core/errors.ts";
import { canonicalJson, sha256 } from "../../portable/hash.ts";
import type { FeatureConstants, FixedRows } from "../types.ts";
import { FIXED_SCALE, LENGTH_SLACK } from "./fixedRows.ts";

/**
 * `fit`: all rows are fitted to; `judge`: all are held out, to choose by, until the last fit, which takes all rows in; `outside`: of
 * no class, so that texts like them are known to be unknown.
 */
export type RowRole = "fit" | "judge" | "outside";

/** The label of rows of no class. */
export const OUTSIDE_LABEL = "";

/** Rows of one class, as they came. */
export interface Contribution {
  readonly label: string;
  /** (n, F) */
  readonly rows: FixedRows;
  /** Absent where nothing else chooses: then some of the rows do, by their hash. */
  readonly role?: RowRole;
}

/** A contribution under its identity. */
export interface KeptContribution extends Contribution {
  /** Hash of label, rows and role. */
  readonly id: string;
}

/** By code unit, as `<` compares strings: the same on every machine, in every locale. */
export function compareCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function identify({ label, rows: { rows, width, values }, role }: Contribution): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const named = role === undefined ? [label, rows, width] : [label, rows, width, role];
  return sha256(`${canonicalJson(named)}${sha256(bytes)}`);
}

function show(value: FeatureConstants[keyof FeatureConstants]): string {
  return value === undefined ? "none" : JSON.stringify(value);
}

/** @throws StoreError if two sets of features were not made alike, naming what differs */
export function checkSameConstants(a: FeatureConstants, b: FeatureConstants): void {
  const names = ["backbone", "layers", "width", "seed", "featureAdapter"] as const;
  const differing = names.filter(
    (name) => canonicalJson([a[name] ?? null]) !== canonicalJson([b[name] ?? null]),
  );
  if (differing.length === 0) return;
  const shown = differing.map((name) => `${name} ${show(a[name])} against ${show(b[name])}`);
  throw new StoreError(`statistics of other features cannot be joined: ${shown.join(", ")}`, {
    hint: "Features must come from the same backbone, layers and seed: learn the tasks of one anew, in a store with the same router.layers and seed.",
  });
}

/** The number of layers that rows were found to be short enough for. */
const checkedFor = new WeakMap<FixedRows, number>();

/** Sums over random features are exact because no row is longer than this. */
function checkLengths(label: string, fixed: FixedRows, { layers }: FeatureConstants): void {
  if (checkedFor.get(fixed) === layers.length) return;
  const { rows, width, values } = fixed;
  const longest = layers.length * (FIXED_SCALE * (1 + LENGTH_SLACK)) ** 2;
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let i = row * width; i < (row + 1) * width; i++) squares += values[i]! * values[i]!;
    if (squares > longest)
      throw new DataError(
        `class "${label}": row ${row} has length ${(Math.sqrt(squares) / FIXED_SCALE).toFixed(3)}, features of ${layers.length} layers have ${Math.sqrt(layers.length).toFixed(3)}`,
        { hint: "bring each layer's pooled state to length 1 first" },
      );
  }
  checkedFor.set(fixed, layers.length);
}

/** @throws DataError if rows are not as wide as the constants say, or longer than features are */
function checkWidthOf({ label, rows }: Contribution, constants: FeatureConstants): void {
  if (rows.width !== constants.width)
    throw new DataError(
      `class "${label}": features are ${rows.width} wide, the statistics ${constants.width}`,
    );
  checkLengths(label, rows, constants);
}

export function keep({ label, rows, role }: Contribution): KeptContribution {
  const contribution = { label, rows, ...(role && { role }) };
  return { ...contribution, id: identify(contribution) };
}

/** What is retained, in bytes. */
export interface Retained {
  readonly bytes: number;
  /** By label. */
  readonly bytesPerClass: ReadonlyMap<string, number>;
}

/** Of rows alone. */
export function retainedOf(contributions: Iterable<Contribution>): Retained {
  const bytesPerClass = new Map<string, number>();
  let bytes = 0;
  for (const { label, rows } of contributions) {
    bytesPerClass.set(label, (bytesPerClass.get(label) ?? 0) + rows.values.byteLength);
    bytes += rows.values.byteLength;
  }
  return { bytes, bytesPerClass };
}

/**
 * The classes seen so far, as a set of contributions: an immutable value. Two that hold the same contributions are equal
 * whatever the order in which those came, so everything that is computed from them is too.
 */
export class ClassStatistics {
  readonly constants: FeatureConstants;
  /** Sorted by code unit. */
  readonly labels: readonly string[];
  /** Of classes, in canonical order: by label, then by identity. */
  readonly contributions: readonly KeptContribution[];
  /** Of no class, by identity. */
  readonly outside: readonly KeptContribution[];

  private constructor(constants: FeatureConstants, contributions: ReadonlyMap<string, KeptContribution>) {
    this.constants = constants;
    const all = [...contributions.values()].sort(
      (a, b) => compareCodeUnits(a.label, b.label) || compareCodeUnits(a.id, b.id),
    );
    this.contributions = all.filter(({ role }) => role !== "outside");
    this.outside = all.filter(({ role }) => role === "outside");
    this.labels = [...new Set(this.contributions.map(({ label }) => label))];
  }

  static empty(constants: FeatureConstants): ClassStatistics {
    return new ClassStatistics(constants, new Map());
  }

  /** Rows of a class; 0 where it was never seen. */
  count(label: string): number {
    let rows = 0;
    for (const kept of this.contributions) if (kept.label === label) rows += kept.rows.rows;
    return rows;
  }

  /**
   * Adds contributions. One that is there already, number for number, is not counted twice; empty ones are left out.
   * @throws DataError if rows are not as wide as the constants say, or longer than features are
   */
  with(contributions: Iterable<Contribution>): ClassStatistics {
    const all = new Map([...this.contributions, ...this.outside].map((kept) => [kept.id, kept]));
    for (const contribution of contributions) {
      checkWidthOf(contribution, this.constants);
      if (contribution.rows.rows === 0) continue;
      const kept = isKept(contribution) ? contribution : keep(contribution);
      all.set(kept.id, kept);
    }
    return new ClassStatistics(this.constants, all);
  }

  /** What would be there had the class never been seen. */
  without(label: string): ClassStatistics {
    const kept = [
      ...this.contributions.filter((contribution) => contribution.label !== label),
      ...this.outside,
    ];
    return new ClassStatistics(
      this.constants,
      new Map(kept.map((contribution) => [contribution.id, contribution])),
    );
  }

  /** What would be there without these contributions, named by identity. */
  withoutContributions(ids: ReadonlySet<string>): ClassStatistics {
    const kept = [...this.contributions, ...this.outside].filter(({ id }) => !ids.has(id));
    return new ClassStatistics(
      this.constants,
      new Map(kept.map((contribution) => [contribution.id, contribution])),
    );
  }

  /**
   * The union.
   * @throws StoreError if the features were not made alike
   */
  merge(other: ClassStatistics): ClassStatistics {
    checkSameConstants(this.constants, other.constants);
    return this.with([...other.contributions, ...other.outside]);
  }

  retained(): Retained {
    return retainedOf([...this.contributions, ...this.outside]);
  }
}

/** Held-out texts of a class are enough to choose by in place of some of its train rows from this share of those on. */
const ENOUGH_HELD_OUT = 0.05;

/**
 * A task's rows with their roles: held-out texts judge, and where a class has enough of them all of its train rows are
 * fitted to. The last fit takes both in.
 * @param judging of the texts held out
 */
export function withRoles(
  train: readonly Contribution[],
  judging: readonly Contribution[],
): readonly Contribution[] {
  const held = new Map(judging.map(({ label, rows }) => [label, rows.rows]));
  const roleOf = ({ label, rows }: Contribution): { readonly role?: RowRole } =>
    (held.get(label) ?? 0) > 0 && (held.get(label) ?? 0) >= ENOUGH_HELD_OUT * rows.rows
      ? { role: "fit" }
      : {};
  return [
    ...train.map((own) => ({ ...own, ...roleOf(own) })),
    ...judging.filter(({ rows }) => rows.rows > 0).map((own) => ({ ...own, role: "judge" as const })),
  ];
}

/** Those that statistics count: one that came before, number for number, is the same one, and an empty one is none. */
export function distinctContributions(contributions: readonly Contribution[]): readonly KeptContribution[] {
  const found = new Map<string, KeptContribution>();
  for (const contribution of contributions) {
    if (contribution.rows.rows === 0) continue;
    const kept = isKept(contribution) ? contribution : keep(contribution);
    if (!found.has(kept.id)) found.set(kept.id, kept);
  }
  return [...found.values()];
}

function isKept(contribution: Contribution): contribution is KeptContribution {
  return "id" in contribution;
}
