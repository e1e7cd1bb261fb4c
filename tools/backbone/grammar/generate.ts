import { AccreteError } from "../../../src/core/errors.ts";
import { createRng, type Rng } from "../../../src/core/random.ts";
import { acts } from "./acts.ts";
import { adjectives, sentences, sentencesAroundActs } from "./sentences.ts";
import { things } from "./things.ts";

/** A context-free grammar: each name stands for one of its phrases, whose `{name}`s are expanded in turn. */
const rules: Readonly<Record<string, readonly string[]>> = { ...things, ...acts, ...adjectives };

function expand(phrase: string, rng: Rng): string {
  return phrase.replace(/\{(\w+)\}/g, (_, name: string) => {
    const choices = rules[name];
    if (choices === undefined)
      throw new AccreteError("CORPUS", `phrase "${phrase}": no rule is called ${name}`);
    return expand(choices[rng.integer(choices.length)]!, rng);
  });
}

/** "a" before a vowel sound becomes "an"; before a plural or a mass noun's own article it is dropped. */
function mendArticles(sentence: string): string {
  return sentence
    .replace(/\b(a|the|my|our|this|another|some) (a|an|the|my) /g, "$2 ")
    .replace(/\ba (?=[aeiou])(?!one|uni|eu|use)/gi, "an ");
}

/** `count` different sentences, each frame in turn; a function of the seed alone. */
export function generateSentences(count: number, seed: number): readonly string[] {
  const rng = createRng(seed).fork("grammar");
  const found = new Set<string>();
  for (let attempt = 0; found.size < count; attempt++) {
    if (attempt > 20 * count)
      throw new AccreteError("CORPUS", `the grammar gives fewer than ${count} sentences`);
    // Verb phrases are the grammar's most varied part, so four sentences in ten are built around one.
    const frames = rng.uniform() < 0.4 ? sentencesAroundActs : sentences;
    const frame = frames[rng.integer(frames.length)]!;
    found.add(mendArticles(expand(frame, rng)));
  }
  return [...found];
}
