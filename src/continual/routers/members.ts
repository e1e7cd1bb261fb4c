/** What each kind of router is made of. */
import { Registry } from "../../core/registry.ts";
import type { FeatureMap } from "../statistics/featureMaps.ts";
import type { BuiltInRouterKind, FeatureConstants, RouterKind, RouterStage } from "../types.ts";

/**
 * The layers that a member reads, of those that the features have: `ends` the lowest, the middle one and the last of the
 * backbone, `upper` its upper half with the middle one, `last` the last. Where the features have none of them: all.
 */
export type LayerChoice = "all" | "ends" | "upper" | "last";

export type ClosedForm = "nearest-mean" | "lda" | "ridge";

interface MemberBase {
  readonly reads: LayerChoice;
  /** Its share in the sum of log-posteriors. */
  readonly weight: number;
}

/** Follows from totals. */
export interface ClosedMember extends MemberBase {
  readonly type: "closed";
  readonly form: ClosedForm;
  readonly expansion: Omit<FeatureMap, "layers">;
}

/** Softmax regression on random features; needs the rows. */
export interface SoftmaxMember extends MemberBase {
  readonly type: "softmax";
  readonly expansion: Omit<FeatureMap, "layers">;
}

/** A network with one hidden layer; needs the rows. */
export interface NetworkMember extends MemberBase {
  readonly type: "network";
}

/** A kernel density of every class. */
export interface KernelMember {
  readonly reads: LayerChoice;
  readonly expansion: Omit<FeatureMap, "layers">;
}

/** A kernel density of every class, with networks beside it; needs the rows. */
export interface DensitySpec extends MemberBase {
  readonly type: "density";
  readonly kernel: KernelMember;
  readonly networks: readonly NetworkMember[];
}

/** A whole router that an extension registered. */
export interface RegisteredMember extends MemberBase {
  readonly type: "registered";
  /** The name that it is registered under. */
  readonly kind: string;
}

export type MemberSpec = ClosedMember | DensitySpec | SoftmaxMember | NetworkMember | RegisteredMember;

/** Random features up to which λ is chosen; the full number is solved once. */
export const SEARCH_SIZE = 2048;

/**
 * What is tried on held-out rows, from strong to weak: shrinkage of LDA, λ of ridge, both in units of the mean diagonal.
 */
export const grids: { readonly [F in ClosedForm]: readonly number[] } = {
  "nearest-mean": [1],
  lda: [0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
  ridge: [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003],
};

/**
 * Softmax regression: the ridge in its preconditioner, how many rows that is made of, weight decay, smoothing of the
 * labels, its steps, and those that the last fit goes further with all rows.
 */
export const softmaxSettings = {
  ridge: 0.1,
  metricRows: 4096,
  decay: 1e-3,
  smoothing: 0.1,
  step: 4,
  start: 10,
  iterations: 10,
  furtherIterations: 6,
} as const;

/** The network: cosine head, AdamW, the learning rate rising for a tenth of the steps and falling along a cosine. */
export const networkSettings = {
  hidden: 512,
  inputDropout: 0.1,
  hiddenDropout: 0.4,
  scale: 20,
  smoothing: 0.1,
  learningRate: 2.5e-3,
  weightDecay: 0.01,
  batchSize: 256,
  epochs: 8,
  /** Few rows are gone through more often. */
  leastSteps: 60,
  warmup: 0.1,
} as const;

const identity = { kind: "identity" } as const;

function closed(form: ClosedForm, expansion: ClosedMember["expansion"]): ClosedMember {
  return { type: "closed", form, expansion, reads: "all", weight: 1 };
}

function softmax(reads: LayerChoice): SoftmaxMember {
  return { type: "softmax", expansion: { kind: "relu", size: 2000 }, reads, weight: 1 };
}

function network(reads: LayerChoice, weight = 1): NetworkMember {
  return { type: "network", reads, weight };
}

function density(...networks: readonly NetworkMember[]): DensitySpec {
  return {
    type: "density",
    kernel: { expansion: identity, reads: "all" },
    networks,
    reads: "all",
    weight: 1,
  };
}

const builtInMembers: { readonly [K in BuiltInRouterKind]: readonly MemberSpec[] } = {
  "nearest-mean": [closed("nearest-mean", identity)],
  lda: [closed("lda", identity)],
  "kernel-discriminant": [density()],
  stacking: [density(network("ends"), network("upper"))],
  ranpac: [closed("ridge", { kind: "relu", size: 6000 })],
  softmax: [softmax("all")],
  network: [network("ends")],
  ensemble: [softmax("ends"), softmax("upper"), network("ends", 2), network("upper", 2)],
};

/** The members of each kind. */
export const routerMembers = new Registry<BuiltInRouterKind, readonly MemberSpec[]>(
  "router",
  builtInMembers,
  ["auto", "newlora", "newlora-frozen"],
);

/** The kind of routers of texts where none is named, and what `auto` names for them: once it is consolidated. */
export const defaultTextKind: RouterKind = "stacking";

/** Closed forms and what is as quick: a change waits for their fit. */
const quickKinds: ReadonlySet<string> = new Set<BuiltInRouterKind>([
  "nearest-mean",
  "lda",
  "kernel-discriminant",
]);

/**
 * The kind that answers at once while one of `kind` is fitted: itself where its fit is quick or it comes from an extension, and
 * for all others `kernel-discriminant`.
 */
export function immediateKind(kind: RouterKind): RouterKind {
  return quickKinds.has(kind) || !(kind in builtInMembers) ? kind : "kernel-discriminant";
}

/** Which kind of router answers right after a change, and which one takes over. */
export type StageKinds = { readonly [S in RouterStage]: RouterKind | "auto" };

/**
 * The kinds of a router of texts.
 * @param kind that the settings name
 */
export function stageKindsOf(kind: RouterKind | "auto" = "auto"): StageKinds {
  const consolidated = kind === "auto" ? defaultTextKind : kind;
  return { immediate: immediateKind(consolidated), consolidated };
}

const memberTypesThatLearnPriors: { readonly [T in MemberSpec["type"]]: boolean } = {
  closed: false,
  density: false,
  softmax: true,
  network: true,
  registered: false,
};

/** Whether a member takes classes for as frequent as their rows; the others take them for equally frequent. */
export function learnsClassPrior(member: MemberSpec): boolean {
  return memberTypesThatLearnPriors[member.type] || (member.type === "closed" && member.form === "ridge");
}

/** What `auto` chooses from, the cheapest first, of equals the first. */
export const autoKinds: readonly RouterKind[] = ["lda", "ensemble"];

/** The places, among the layers that the features have, that a member reads. */
export function placesRead(reads: LayerChoice, layers: readonly number[]): number[] {
  const last = Math.max(...layers);
  const middle = Math.floor(last / 2);
  const wanted: { readonly [L in LayerChoice]: (layer: number) => boolean } = {
    all: () => true,
    ends: (layer) => layer === 0 || layer === middle || layer === last,
    upper: (layer) => layer >= middle && layer > 0,
    last: (layer) => layer === last,
  };
  const all = layers.map((_, place) => place);
  const places = all.filter((place) => wanted[reads](layers[place]!));
  return places.length > 0 ? places : all;
}

/** A member's expansion of the layers that it reads. */
export function expansionOf(
  { expansion, reads }: { readonly expansion: Omit<FeatureMap, "layers">; readonly reads: LayerChoice },
  { layers }: FeatureConstants,
): FeatureMap {
  return { ...expansion, layers: placesRead(reads, layers) };
}
