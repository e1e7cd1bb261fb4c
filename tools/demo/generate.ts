import { AccreteError } from "../../src/core/errors.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";
import { fillers, isSlotName } from "./fillers.ts";
import { demoTasks } from "./intents/index.ts";
import type { IntentSpecification } from "./specification.ts";

export type SplitName = "train" | "validation" | "test";
export type DemoSplits = { readonly [S in SplitName]: readonly LabelledExample[] };

/** Sentences an intent gets in each split; the test takes one a frame. */
export const sentencesPerIntent = { train: 40, validation: 8, test: 12 } as const;

/** The form in which two texts count as the same. */
export function normalise(text: string): string {
  return text.normalize("NFC").trim().toLowerCase();
}

/** "a" before a vowel sound that a filler brought in becomes "an". */
function fixArticles(sentence: string): string {
  return sentence.replace(/\b([Aa]) (?=[aeiouAEIOU])(?!one|uni|eu|use)/g, "$1n ");
}

/** Fills every slot; a slot that stands twice in a frame gets two different fillers. */
export function fillFrame(frame: string, split: SplitName, rng: Rng): string {
  const used = new Set<string>();
  const filled = frame.replace(/\{(\w+)\}/g, (_, name: string) => {
    if (!isSlotName(name)) throw new AccreteError("DEMO", `frame "${frame}": no slot is called ${name}`);
    const words: readonly string[] = fillers[name][split === "train" ? "train" : "heldOut"];
    const free = words.filter((word) => !used.has(word));
    const chosen = free[rng.integer(free.length)];
    if (chosen === undefined)
      throw new AccreteError("DEMO", `frame "${frame}": ${name} has no filler left for ${split}`);
    used.add(chosen);
    return chosen;
  });
  return fixArticles(filled);
}

/**
 * Draws distinct sentences from the frames in turn, so that each frame has about the same share.
 * @param taken normalised sentences that may not come again; the new ones are added.
 */
function drawSentences(
  intent: IntentSpecification,
  split: SplitName,
  taken: Set<string>,
  rng: Rng,
): readonly string[] {
  const frames = intent[split];
  const wanted = sentencesPerIntent[split];
  const sentences: string[] = [];
  for (let attempt = 0; sentences.length < wanted; attempt++) {
    if (attempt > 50 * wanted)
      throw new AccreteError(
        "DEMO",
        `${intent.label}: frames for ${split} give fewer than ${wanted} sentences`,
      );
    const frame = frames[attempt % frames.length];
    if (frame === undefined) throw new AccreteError("DEMO", `${intent.label}: no frames for ${split}`);
    const sentence = fillFrame(frame, split, rng);
    if (taken.has(normalise(sentence))) continue;
    taken.add(normalise(sentence));
    sentences.push(sentence);
  }
  return sentences;
}

/** All sentences of the demo stream, grouped by task and intent; a function of the seed alone. */
export function generateDemo(seed = 1): DemoSplits {
  const rng = createRng(seed);
  const taken = new Set<string>();
  const draw = (split: SplitName): LabelledExample[] =>
    demoTasks.flatMap((task) =>
      task.intents.flatMap((intent) =>
        drawSentences(intent, split, taken, rng.fork("demo", intent.label, split)).map((text) => ({
          text,
          label: intent.label,
        })),
      ),
    );
  return { train: draw("train"), validation: draw("validation"), test: draw("test") };
}

/** One JSON object a line, `text` before `label`. */
export function toJsonLines(examples: readonly LabelledExample[]): string {
  return examples.map(({ text, label }) => `${JSON.stringify({ text, label })}\n`).join("");
}
