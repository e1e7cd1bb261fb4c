/** Totals of the rows that fit, kept from one fit to the next: being exact, they can be added to and taken from. */
import type { Algebra } from "../../linalg/algebra.ts";
import { type Expander, expansionKey } from "./expansions.ts";
import { splitContribution } from "./heldOut.ts";
import type { ClassStatistics, KeptContribution } from "./statistics.ts";
import { accumulate, cloneTotals, emptyTotals, type LabelledRows, type Totals } from "./totals.ts";

/** Totals up to this size are kept: 32 MB of second moments. */
const KEPT_SIZE = 2048;

interface KeptTotals {
  readonly totals: Totals;
  /** What is counted in, by identity. */
  readonly counted: Map<string, KeptContribution>;
}

function fitRowsOf(contributions: Iterable<KeptContribution>): LabelledRows[] {
  return [...contributions].map((kept) => ({ label: kept.label, rows: splitContribution(kept).fit }));
}

/** Sums over the rows of statistics that are not held out. */
export class TotalsKeeper {
  private readonly algebra: Algebra;
  private readonly kept = new Map<string, KeptTotals>();

  constructor(algebra: Algebra) {
    this.algebra = algebra;
  }

  /**
   * @param size of the leading numbers of the expansion that are summed
   * @param second whether the second moment is needed
   * @returns totals of the caller's own
   */
  async totals(
    expander: Expander,
    statistics: ClassStatistics,
    size: number,
    second: boolean,
    signal?: AbortSignal,
  ): Promise<Totals> {
    if (size > KEPT_SIZE) {
      const totals = emptyTotals(size, second);
      await accumulate(this.algebra, expander, totals, fitRowsOf(statistics.contributions), 1, signal);
      return totals;
    }
    const key = `${JSON.stringify(statistics.constants)} ${expansionKey(expander.expansion)} ${size} ${second}`;
    // Taken out while it changes: what a failure leaves half done is not used again.
    const { totals, counted } = this.kept.get(key) ?? {
      totals: emptyTotals(size, second),
      counted: new Map<string, KeptContribution>(),
    };
    this.kept.delete(key);
    const wanted = new Map(statistics.contributions.map((contribution) => [contribution.id, contribution]));
    const gone = [...counted.values()].filter(({ id }) => !wanted.has(id));
    const come = statistics.contributions.filter(({ id }) => !counted.has(id));
    await accumulate(this.algebra, expander, totals, fitRowsOf(gone), -1, signal);
    await accumulate(this.algebra, expander, totals, fitRowsOf(come), 1, signal);
    this.kept.set(key, { totals, counted: wanted });
    return cloneTotals(totals);
  }
}
