/** Totals of rows, kept from one fit to the next: being exact, they can be added to and taken from. */
import type { Algebra } from "../../linalg/algebra.ts";
import { type FeatureMapper, featureMapKey } from "../statistics/featureMaps.ts";
import type { ClassStatistics, KeptContribution } from "../statistics/statistics.ts";
import {
  accumulate,
  cloneTotals,
  emptyTotals,
  joinRows,
  type LabelledRows,
  type Totals,
} from "../statistics/totals.ts";
import { decodeTotals, encodeTotals } from "../statistics/totalsFile.ts";
import { splitContribution } from "./heldOut.ts";

/** Totals up to this size are kept: 151 MB of second moments. */
const KEPT_SIZE = 6144;

/** `fit`: without the rows held out. */
export type RowPart = "fit" | "all";

/** The rows of a contribution that are held out. */
function heldOutOf(kept: KeptContribution): LabelledRows {
  const { heldOut } = splitContribution(kept);
  const { width } = kept.rows;
  const pieces = heldOut.map(({ values }) => ({ rows: 1, width, values }));
  return { label: kept.label, rows: joinRows(pieces, width) };
}

const rowsOf: { readonly [P in RowPart]: (kept: KeptContribution) => LabelledRows } = {
  fit: (kept) => ({ label: kept.label, rows: splitContribution(kept).fit }),
  all: (kept) => kept,
};

interface KeptTotals {
  /** Whether they are worth a file: of all rows, in rounded features. */
  readonly lasting: boolean;
  readonly totals: Totals;
  /** What is counted in, by identity. */
  readonly counted: Map<string, KeptContribution>;
}

/** Which totals are meant. */
export interface TotalsAsked {
  /** Of the leading numbers of the expansion that are summed. */
  readonly size: number;
  /** Whether the second moment is needed. */
  readonly second: boolean;
  readonly part: RowPart;
  /** Whose rows are counted; absent: all classes'. */
  readonly labels?: ReadonlySet<string> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sums over the rows of statistics. */
export class TotalsKeeper {
  private readonly algebra: Algebra;
  private readonly kept = new Map<string, KeptTotals>();

  constructor(algebra: Algebra) {
    this.algebra = algebra;
  }

  /** @returns totals of the caller's own */
  async totals(expander: FeatureMapper, statistics: ClassStatistics, asked: TotalsAsked): Promise<Totals> {
    const { size, second, part, labels, signal } = asked;
    const contributions = statistics.contributions.filter(({ label }) => labels?.has(label) ?? true);
    const partOf = (contributions: KeptContribution[]) => contributions.map(rowsOf[part]);
    if (size > KEPT_SIZE) {
      const totals = emptyTotals(size, second);
      await accumulate(this.algebra, expander, totals, partOf(contributions), 1, signal);
      return totals;
    }
    const constants = JSON.stringify(statistics.constants);
    const keyOf = (of: RowPart) =>
      `${constants} ${featureMapKey(expander.expansion)} ${size} ${second} ${of}`;
    const key = keyOf(part);
    // Taken out while it changes: what a failure leaves half done is not used again.
    const { totals, counted } =
      this.kept.get(key) ?? (await this.begin(expander, asked, this.kept.get(keyOf("fit"))));
    this.kept.delete(key);
    const wanted = new Map(contributions.map((contribution) => [contribution.id, contribution]));
    const gone = [...counted.values()].filter(({ id }) => !wanted.has(id));
    const come = contributions.filter(({ id }) => !counted.has(id));
    await accumulate(this.algebra, expander, totals, partOf(gone), -1, signal);
    await accumulate(this.algebra, expander, totals, partOf(come), 1, signal);
    const lasting = expander.expansion.kind === "rounded" && part === "all";
    this.kept.set(key, { lasting, totals, counted: wanted });
    return cloneTotals(totals);
  }

  /** Whether nothing was counted so far. */
  get empty(): boolean {
    return this.kept.size === 0;
  }

  /** What was counted of all rows in rounded features, as a file; undefined where nothing was. */
  encode(): Uint8Array | undefined {
    for (const [key, { lasting, totals, counted }] of this.kept)
      if (lasting) return encodeTotals({ key, counted: [...counted.keys()], totals });
    return undefined;
  }

  /**
   * Goes on from a file; from nothing where it is of other rows than those of a state.
   * @throws StoreError, CheckpointError where it is damaged
   */
  restore(bytes: Uint8Array, where: string, { contributions }: Pick<ClassStatistics, "contributions">): void {
    const saved = decodeTotals(bytes, where);
    if (saved === undefined) return;
    const known = new Map(contributions.map((contribution) => [contribution.id, contribution]));
    const counted = new Map(
      saved.counted.flatMap((id) => known.get(id) ?? []).map((each) => [each.id, each]),
    );
    // Rows that are not at hand could not be taken away again.
    if (counted.size === saved.counted.length)
      this.kept.set(saved.key, { lasting: true, totals: saved.totals, counted });
  }

  /** Totals of nothing; of all rows where those of the rows that fit are known, these and the others. */
  private async begin(
    expander: FeatureMapper,
    { size, second, signal }: TotalsAsked,
    fit: KeptTotals | undefined,
  ): Promise<KeptTotals> {
    const lasting = false;
    if (fit === undefined)
      return { lasting, totals: emptyTotals(size, second, "packed"), counted: new Map() };
    const totals = cloneTotals(fit.totals, "packed");
    const heldOut = [...fit.counted.values()].map(heldOutOf).filter(({ rows }) => rows.rows > 0);
    await accumulate(this.algebra, expander, totals, heldOut, 1, signal);
    return { lasting, totals, counted: fit.counted };
  }
}
