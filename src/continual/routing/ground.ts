// Dimensions: h held-out rows, C classes.
/** What the fit of one member works on, and what it gives. */
import type { Algebra, Compile, Matrix } from "../../linalg/algebra.ts";
import type { Expander, Expansion } from "./expansions.ts";
import type { Split } from "./heldOut.ts";
import { type LayerChoice, placesRead } from "./members.ts";
import type { Member } from "./routerModel.ts";
import type { ClassStatistics } from "./statistics.ts";
import type { TotalsKeeper } from "./totalsKeeper.ts";
import type { FeatureConstants } from "./types.ts";

export interface FitGround {
  readonly algebra: Algebra;
  readonly compile: Compile;
  readonly keeper: TotalsKeeper;
  readonly statistics: ClassStatistics;
  readonly split: Split;
  /** Of what is trained. */
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
  /** Random weights are drawn once. */
  expander(expansion: Expansion): Expander;
}

/** What the held-out rows chose for a member. */
export interface ChosenMember {
  readonly settings: Readonly<Record<string, number>>;
  /** 1/temperature */
  readonly beta: number;
  readonly weight: number;
  /** Of the held-out rows, by the fit without them: (h, C). */
  readonly logits: Matrix;
  /** Fits to all rows. */
  finish(): Promise<Member>;
}

/** A member's expansion of the layers that it reads. */
export function expansionOf(
  { expansion, reads }: { readonly expansion: Omit<Expansion, "layers">; readonly reads: LayerChoice },
  { layers }: FeatureConstants,
): Expansion {
  return { ...expansion, layers: placesRead(reads, layers) };
}
