/** What each kind of router is made of. */
import type { Expansion } from "./expansions.ts";
import type { RouterKind } from "./types.ts";

export type ClosedForm = "nearest-mean" | "lda" | "ridge";

/** One classifier of a router. */
export interface ClosedMember {
  readonly type: "closed";
  readonly form: ClosedForm;
  readonly expansion: Expansion;
  /** Its share in the sum of log-posteriors. */
  readonly weight: number;
}

export type MemberSpec = ClosedMember;

/** Random features up to which λ is chosen; the full number is solved once. */
export const SEARCH_SIZE = 2048;

/**
 * What is tried on held-out rows: shrinkage of LDA, λ of ridge, both in units of the mean diagonal. From strong to weak,
 * until the loss rises: where nothing speaks for less, as with a handful of rows, the strongest stays.
 */
export const grids: { readonly [F in ClosedForm]: readonly number[] } = {
  "nearest-mean": [1],
  lda: [0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
  ridge: [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003],
};

const identity: Expansion = { kind: "identity" };

function fourier(draw: number): Expansion {
  return { kind: "fourier", size: 2048, draw, bandwidth: 1 };
}

function closed(form: ClosedForm, expansion: Expansion, weight = 1): ClosedMember {
  return { type: "closed", form, expansion, weight };
}

/** The members of each kind. */
export const routerMembers: { readonly [K in RouterKind]: readonly MemberSpec[] } = {
  "nearest-mean": [closed("nearest-mean", identity)],
  lda: [closed("lda", identity)],
  "kernel-lda": [closed("lda", fourier(0)), closed("lda", fourier(1)), closed("lda", fourier(2))],
  ranpac: [closed("ridge", { kind: "relu", size: 6000 })],
  network: [],
  ensemble: [],
};

/** What `auto` chooses from, the cheapest first: of equals it takes the first. */
export const autoKinds: readonly RouterKind[] = ["nearest-mean", "lda", "kernel-lda", "ranpac"];
