/** Two toy tasks for a very small storyteller: whom a story is about, and how it ends. */
import type { LabelledExample, Task } from "../../src/data/types.ts";

const subjects: Readonly<Record<string, readonly string[]>> = {
  brown_dog: ["dog", "puppy"],
  small_bird: ["bird", "duck"],
  old_man: ["man", "grandpa"],
};
const moods: Readonly<Record<string, readonly string[]>> = {
  very_happy: ["smiled", "laughed"],
  so_sad: ["cried", "was sad"],
  asleep: ["slept", "was tired"],
};

const places = ["park", "garden", "house", "tree", "river", "store", "farm", "hill"];
const times = ["One day", "Then", "In the morning", "At night", "After lunch"];

type Frame = (word: string, place: string, time: string) => string;

const frames: readonly { readonly words: typeof subjects; readonly frame: readonly Frame[] }[] = [
  {
    words: subjects,
    frame: [
      (word, place, time) => `${time}, a ${word} went to the ${place}.`,
      (word, place, time) => `${time} Tom saw the ${word} near the ${place}.`,
      (word, place, time) => `${time}, by the ${place}, there was a ${word}.`,
    ],
  },
  {
    words: moods,
    frame: [
      (word, place, time) => `${time}, Lily ${word} in the ${place}.`,
      (word, place, time) => `${time} the girl at the ${place} ${word}.`,
      (word, place, time) => `Near the ${place}, ${time}, she ${word}.`,
    ],
  },
];

/** Every word in every place and time; a time and a place that meet are all for test, or all for training. */
export function toyTasks(): Task[] {
  return frames.map(({ words, frame }, k) => {
    const train: LabelledExample[] = [];
    const test: LabelledExample[] = [];
    for (const [label, forms] of Object.entries(words))
      for (const word of forms)
        for (const [p, place] of places.entries())
          for (const [t, time] of times.entries()) {
            const text = frame[(p + t) % frame.length]?.(word, place, time) ?? "";
            ((2 * p + t) % 4 === 0 ? test : train).push({ text, label });
          }
    return { name: `task-${k}`, labels: Object.keys(words), train, validation: [], test };
  });
}
