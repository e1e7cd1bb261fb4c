// Dimensions: n rows, F routing features, M numbers of an expansion.
/** Statistics without contributions: totals alone, and the rows that choose. They cannot forget. */
import { DataError, StoreError } from "../../core/errors.ts";
import type { Algebra } from "../../linalg/algebra.ts";
import { packedLength } from "../../linalg/lower.ts";
import { type Expander, type Expansion, expansionKey } from "./expansions.ts";
import { joinHeldOut, splitContribution } from "./heldOut.ts";
import { autoKinds, expansionOf, type MemberSpec, routerMembers } from "./members.ts";
import {
  type Contribution,
  checkSameConstants,
  checkWidthOf,
  compareCodeUnits,
  type KeptContribution,
  keep,
  type Retained,
  retainedOf,
} from "./statistics.ts";
import { accumulate, addTotals, cloneTotals, emptyTotals, type Totals } from "./totals.ts";
import type { FeatureConstants, RouterKind } from "./types.ts";

interface Content {
  readonly constants: FeatureConstants;
  readonly kinds: readonly RouterKind[];
  /** Identities of what was counted in, so that nothing is counted twice. */
  readonly counted: ReadonlySet<string>;
  /** The 15 % of the rows that choose λ, shrinkage and temperature. */
  readonly contributions: readonly KeptContribution[];
  /** Of the other rows, by the expansion's key. */
  readonly totals: ReadonlyMap<string, Totals>;
}

/** The closed forms that an asked-for kind is tried among: those that totals alone serve; none where it is trained on rows. */
export function kindsOfTotals(kind: RouterKind | "auto"): readonly RouterKind[] {
  const kinds = kind === "auto" ? autoKinds.totals : [kind];
  return kinds.filter((each) => routerMembers[each].every(({ type }) => type === "closed"));
}

/** The expansions whose totals some kinds of router need, and whether with second moments. */
function expansionsOf(
  kinds: readonly RouterKind[],
  constants: FeatureConstants,
): Map<string, [Expansion, boolean]> {
  const found = new Map<string, [Expansion, boolean]>();
  for (const kind of kinds)
    for (const member of routerMembers[kind]) {
      checkClosed(kind, member);
      const expansion = expansionOf(member, constants);
      const key = expansionKey(expansion);
      const second = member.form !== "nearest-mean" || found.get(key)?.[1] === true;
      found.set(key, [expansion, second]);
    }
  return found;
}

function checkClosed(
  kind: RouterKind,
  member: MemberSpec,
): asserts member is Extract<MemberSpec, { type: "closed" }> {
  if (member.type !== "closed")
    throw new StoreError(
      `router ${kind} is trained on rows, which statistics without contributions do not keep`,
      {
        hint: "choose nearest-mean, lda, kernel-lda or ranpac, or keep the contributions",
      },
    );
}

/**
 * What is kept where contributions are not: an immutable value. For each kind of router asked for at the start the exact
 * totals of 85 % of the rows, and the other rows as they came, for they choose. A fit gives what one to the contributions
 * would, to the last bit; where no row at all is held out, probabilities alone may differ.
 */
export class ClassTotals {
  readonly constants: FeatureConstants;
  readonly kinds: readonly RouterKind[];
  /** Sorted by code unit. */
  readonly labels: readonly string[];
  /** The rows held out. */
  readonly contributions: readonly KeptContribution[];
  readonly counted: ReadonlySet<string>;
  private readonly totals: ReadonlyMap<string, Totals>;

  private constructor({ constants, kinds, counted, contributions, totals }: Content) {
    this.constants = constants;
    this.kinds = kinds;
    this.counted = counted;
    this.contributions = contributions;
    this.totals = totals;
    const labels = new Set(contributions.map(({ label }) => label));
    for (const label of this.fitted) labels.add(label);
    this.labels = [...labels].sort(compareCodeUnits);
  }

  /** @throws StoreError if a kind is trained on rows */
  static empty(constants: FeatureConstants, kinds: readonly RouterKind[]): ClassTotals {
    expansionsOf(kinds, constants);
    return new ClassTotals({ constants, kinds, counted: new Set(), contributions: [], totals: new Map() });
  }

  /** Of a file's content. */
  static restore(content: Content): ClassTotals {
    return new ClassTotals(content);
  }

  /** Classes with rows among the totals. */
  get fitted(): ReadonlySet<string> {
    const [first] = this.totals.values();
    return new Set(first?.classes.keys());
  }

  /** Rows of a class; 0 where it was never seen. */
  count(label: string): number {
    const [first] = this.totals.values();
    const heldOut = this.contributions.filter((kept) => kept.label === label);
    return (first?.classes.get(label)?.count ?? 0) + heldOut.reduce((sum, { rows }) => sum + rows.rows, 0);
  }

  /**
   * Adds contributions; one that was counted before is left out.
   * @throws DataError as `ClassStatistics.with`
   */
  async with(
    algebra: Algebra,
    expander: (expansion: Expansion) => Expander,
    contributions: Iterable<Contribution>,
    signal?: AbortSignal,
  ): Promise<ClassTotals> {
    const counted = new Set(this.counted);
    const fresh: KeptContribution[] = [];
    for (const contribution of contributions) {
      checkWidthOf(contribution, this.constants);
      const kept = keep(contribution);
      if (kept.rows.rows === 0 || counted.has(kept.id)) continue;
      counted.add(kept.id);
      fresh.push(kept);
    }
    const fitting = fresh.map((kept) => ({ label: kept.label, rows: splitContribution(kept).fit }));
    const totals = new Map<string, Totals>();
    for (const [key, [expansion, second]] of expansionsOf(this.kinds, this.constants)) {
      const used = expander(expansion);
      const held = this.totals.get(key);
      const own = held === undefined ? emptyTotals(used.size, second) : cloneTotals(held);
      await accumulate(algebra, used, own, fitting, 1, signal);
      totals.set(key, own);
    }
    const heldOut = joinHeldOut([...this.contributions, ...fresh], this.constants.width);
    const { constants, kinds } = this;
    return new ClassTotals({ constants, kinds, counted, contributions: heldOut, totals });
  }

  /**
   * The union.
   * @throws StoreError if features were made otherwise, other routers are served, or a contribution is in both: what was
   *   counted twice could not be taken back
   */
  merge(other: ClassTotals): ClassTotals {
    checkSameConstants(this.constants, other.constants);
    if (this.kinds.join() !== other.kinds.join())
      throw new StoreError(
        `totals for ${this.kinds.join(", ")} and for ${other.kinds.join(", ")} cannot be joined`,
        {
          hint: "Totals serve the routers that they were begun for: learn the tasks of one anew, in a store with the same router.kind.",
        },
      );
    if ([...other.counted].some((id) => this.counted.has(id)))
      throw new StoreError("both sides have learned the same rows, and totals cannot take them back", {
        hint: "Merge stores that keep contributions, or learn the tasks that only one has in the other, from their data.",
      });
    const totals = new Map<string, Totals>(this.totals);
    for (const [key, theirs] of other.totals) {
      const ours = totals.get(key);
      totals.set(key, ours === undefined ? theirs : addTotals(ours, theirs));
    }
    const { constants, kinds } = this;
    const contributions = joinHeldOut([...this.contributions, ...other.contributions], constants.width);
    return new ClassTotals({
      constants,
      kinds,
      counted: new Set([...this.counted, ...other.counted]),
      contributions,
      totals,
    });
  }

  /** Totals of the rows not held out, of an expansion among those served. */
  totalsOf(expansion: Expansion): Totals {
    const found = this.totals.get(expansionKey(expansion));
    if (found === undefined)
      throw new DataError(`these totals serve ${this.kinds.join(", ")} and no other router`, {
        hint: "totals of another router cannot be made from them: learn the classes again",
      });
    return found;
  }

  /** Every total, by its expansion's key. */
  entries(): ReadonlyMap<string, Totals> {
    return this.totals;
  }

  retained(): Retained {
    const rows = retainedOf(this.contributions);
    const bytesPerClass = new Map(rows.bytesPerClass);
    let { bytes } = rows;
    const add = (label: string, size: number) => {
      bytesPerClass.set(label, (bytesPerClass.get(label) ?? 0) + size);
      bytes += size;
    };
    for (const { classes, size, second } of this.totals.values()) {
      for (const [label, { sum }] of classes) add(label, sum.byteLength);
      // The lower triangle, which all classes share.
      if (second !== undefined) bytes += packedLength(size) * second.BYTES_PER_ELEMENT;
    }
    return { bytes, bytesPerClass };
  }
}
