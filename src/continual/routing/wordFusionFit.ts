// Dimensions: C tags of the router, T tasks.
/** How words are routed best: counted on held-out sentences of each task while it is the current one. */
import { z } from "zod";
import { countEntities, findEntities } from "../taskTypes/entityMetrics.ts";
import type { TagChain } from "../taskTypes/tagSequence.ts";
import type { Posterior } from "../types.ts";
import {
  chooseOfSentence,
  plausibility,
  raiseOutside,
  routerAlone,
  type Span,
  type TagLayout,
  tasksAmong,
  tasksOfSentence,
  type WordEvidence,
  type WordFusion,
} from "./wordFusion.ts";

/** `auto`: where it gains on held-out sentences; `always`: for every sentence; `off`: never. */
export type SecondPass = "auto" | "always" | "off";

/** What may be added to the log-probability of `O`: routers of equal priors need much, those that learn them little. */
export const OUTSIDE_BIASES = [-1, 0, 1, 2, 3, 4, 5, 6] as const;
/** Probabilities of a type from which on its task is asked; 0: always. */
export const PLAUSIBLE = [0, 0.02, 0.05, 0.1, 0.2, 0.4] as const;
/** The most tasks that a second pass asks where nothing says how many. */
export const MOST_TASKS = 3;
/** Shares of router and heads. */
export const SHARES = [
  { router: 1, heads: 0.5 },
  { router: 1, heads: 1 },
  { router: 1, heads: 2 },
  { router: 0, heads: 1 },
] as const;

const whole = z.int().nonnegative();

/** A way to route, and what it did to the held-out sentences. */
const optionSchema = z
  .strictObject({
    outside: z.number(),
    /** null: no second pass. */
    plausible: z.number().nullable(),
    router: z.number(),
    heads: z.number(),
    /** Tasks that are asked at most; 0 without a second pass. */
    topTasks: whole,
    /** Passes through an adapter. */
    asked: whole,
    /** Entities of the task's own types. */
    correct: whole,
    predicted: whole,
  })
  .readonly();

export const wordCountsSchema = z
  .strictObject({
    /** Held-out sentences that were counted, and the entities in them. */
    sentences: whole,
    entities: whole,
    options: z.array(optionSchema).readonly(),
  })
  .readonly();

/** Counts over held-out sentences: numbers alone, so nothing of a text is kept. */
export type WordCounts = z.infer<typeof wordCountsSchema>;
type Option = WordCounts["options"][number];

type OptionKey = Pick<Option, "outside" | "plausible" | "router" | "heads" | "topTasks">;

/** Of equals the first is taken: fewer tasks come first. */
function allOptions(mostTasks = MOST_TASKS): readonly OptionKey[] {
  const counts = Array.from({ length: mostTasks }, (_, i) => i + 1);
  return OUTSIDE_BIASES.flatMap((outside) => [
    { outside, plausible: null, router: 1, heads: 0, topTasks: 0 },
    ...counts.flatMap((topTasks) =>
      PLAUSIBLE.flatMap((plausible) => SHARES.map((share) => ({ outside, plausible, ...share, topTasks }))),
    ),
  ]);
}

/** Held-out sentences of a task, as a router sees them that was not fitted to them. */
export interface HeldOutWords {
  readonly posterior: Posterior;
  /** One a sentence. */
  readonly spans: readonly Span[];
  /** The gold tags of the words that have a token, one list a sentence. */
  readonly gold: readonly (readonly string[])[];
  readonly chain: TagChain;
  readonly layout: TagLayout;
  /** The most tasks that are asked. */
  readonly topTasks: number;
}

/** For every bias of `O` each sentence's tasks: the widest of what {@link countWordFusion} will look at. */
export function tasksToGather({ posterior, spans, layout, topTasks }: HeldOutWords): readonly Set<number>[] {
  const wanted = spans.map(() => new Set<number>());
  for (const outside of OUTSIDE_BIASES) {
    const raised = raiseOutside(posterior, layout, outside);
    spans.forEach((span, s) => {
      for (const task of tasksOfSentence(raised, span, layout, { plausible: 0, topTasks }))
        wanted[s]!.add(task);
    });
  }
  return wanted;
}

interface Found {
  readonly correct: number;
  readonly predicted: number;
}

function findOwn(gold: readonly string[], tags: readonly string[], types: ReadonlySet<string>): Found {
  let [correct, predicted] = [0, 0];
  for (const [type, count] of countEntities([gold], [tags])) {
    if (!types.has(type)) continue;
    correct += count.correct;
    predicted += count.predicted;
  }
  return { correct, predicted };
}

/**
 * Counts what every way to route finds in held-out sentences.
 * @param types the task's own: of others these sentences have no gold tags
 * @param evidence by sentence, of the tasks that {@link tasksToGather} names
 */
export function countWordFusion(
  heldOut: HeldOutWords,
  types: readonly string[],
  evidence: readonly (readonly WordEvidence[])[],
): WordCounts {
  const { posterior, spans, gold, chain, layout, topTasks } = heldOut;
  const own = new Set(types);
  const options = allOptions(topTasks).map((key) => ({ ...key, asked: 0, correct: 0, predicted: 0 }));
  for (const outside of OUTSIDE_BIASES) {
    const raised = raiseOutside(posterior, layout, outside);
    spans.forEach((span, s) => {
      const known = new Map<string, Found>();
      const likely = plausibility(raised, span, layout);
      for (const option of options) {
        if (option.outside !== outside) continue;
        const { plausible, topTasks: most } = option;
        const asked =
          plausible === null || span.to === span.from
            ? []
            : tasksAmong(likely, layout, { plausible, topTasks: most });
        const key = asked.length === 0 ? "" : `${asked.join()} ${option.router} ${option.heads}`;
        let found = known.get(key);
        if (found === undefined) {
          const heard = evidence[s]!.filter(({ task }) => asked.includes(task));
          const choices = chooseOfSentence(raised, span, heard, chain, layout, option);
          found = findOwn(
            gold[s]!,
            choices.map(({ tag }) => tag),
            own,
          );
          known.set(key, found);
        }
        option.asked += asked.length;
        option.correct += found.correct;
        option.predicted += found.predicted;
      }
    });
  }
  const entities = gold.reduce((sum, tags) => sum + goldEntities(tags, own), 0);
  return { sentences: spans.length, entities, options };
}

function goldEntities(tags: readonly string[], types: ReadonlySet<string>): number {
  return findEntities(tags).filter(({ type }) => types.has(type)).length;
}

function sameOption(a: OptionKey, b: OptionKey): boolean {
  return (
    a.outside === b.outside &&
    a.plausible === b.plausible &&
    a.router === b.router &&
    a.heads === b.heads &&
    a.topTasks === b.topTasks
  );
}

/** Sums; options that are not in the table are left out. */
export function addWordCounts(all: readonly WordCounts[]): WordCounts {
  const options = allOptions().map((key) => {
    const own = all.flatMap(({ options: theirs }) => theirs.filter((each) => sameOption(each, key)));
    const sum = (name: "asked" | "correct" | "predicted") =>
      own.reduce((total, each) => total + each[name], 0);
    return { ...key, asked: sum("asked"), correct: sum("correct"), predicted: sum("predicted") };
  });
  return {
    sentences: all.reduce((total, { sentences }) => total + sentences, 0),
    entities: all.reduce((total, { entities }) => total + entities, 0),
    options,
  };
}

/** Micro F1 = 2·correct/(predicted + entities). */
function f1(option: Option, entities: number): number {
  return (2 * option.correct) / Math.max(1, option.predicted + entities);
}

/** How many tasks a second pass asks: so many, or as many as do best on held-out sentences. */
export type TopTasks = number | "auto";

function allowed(option: Option, topTasks: TopTasks, secondPass: SecondPass): boolean {
  if (option.plausible === null) return secondPass !== "always";
  if (secondPass === "off" || (topTasks !== "auto" && option.topTasks !== topTasks)) return false;
  return secondPass === "always" ? option.plausible === 0 : option.plausible > 0;
}

/** Without held-out sentences: what does well wherever they were there to choose by. */
function unmeasured(topTasks: TopTasks, secondPass: SecondPass): WordFusion {
  const asked = topTasks === "auto" ? 2 : topTasks;
  if (secondPass === "off" || asked === 0) return routerAlone;
  return { ...routerAlone, plausible: secondPass === "always" ? 0 : 0.1, heads: 1, topTasks: asked };
}

/**
 * The way with the highest micro F1 on held-out sentences; of equals the one that asks fewest, then the one that changes
 * `O` least. Without held-out sentences router and heads of the two likeliest plausible tasks count alike.
 * @param topTasks k
 */
export function chooseWordFusion(counts: WordCounts, topTasks: TopTasks, secondPass: SecondPass): WordFusion {
  if (counts.sentences === 0) return unmeasured(topTasks, secondPass);
  const options = counts.options.filter((option) => allowed(option, topTasks, secondPass));
  const [best] = options.toSorted(
    (a, b) =>
      f1(b, counts.entities) - f1(a, counts.entities) ||
      a.asked - b.asked ||
      Math.abs(a.outside) - Math.abs(b.outside),
  );
  if (best === undefined) return routerAlone;
  const { outside, plausible, router, heads, topTasks: asked } = best;
  if (plausible === null) return { ...routerAlone, outside };
  return { outside, plausible, router, heads, topTasks: asked };
}
