/**
 * The word level of the two-file layout: `input` holds a list of words for each sentence, and `label_idx_cil`, despite
 * its name, as many tags. Class 0 is `O`; a task's other classes are `B-x` and `I-x` of each of its types.
 */
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { sha256Files } from "../io/hash.ts";
import { type Overlap, taggedSentences, withoutOverlap } from "./checks.ts";
import { damaged, filesOf, readClasses, readTaskData } from "./continual.ts";
import { OUTSIDE, type TaggedSentence, toIob2, typeOf } from "./files/tags.ts";
import { checkTask, maskTypes, type WordStream, type WordTask } from "./wordStream.ts";

const splitSchema = z.looseObject({
  input: z.array(z.array(z.string())),
  label_idx_cil: z.array(z.array(z.string())),
});

/** Whether a folder of the two-file layout holds tagged words rather than sentences of one class. */
export async function isWordLevel(folder: string): Promise<boolean> {
  const [outside, ...labels] = (await readClasses(folder)).flat();
  return outside === OUTSIDE && labels.every((name) => /^[BI]-./su.test(name));
}

function typesOf(path: string, task: number, labels: readonly string[]): string[] {
  const types = labels.flatMap((label) => (label.startsWith("B-") ? [label.slice(2)] : []));
  const expected = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
  if (expected.length !== labels.length || expected.some((label, i) => label !== labels[i]))
    throw new DataError(
      `${path}: the classes of task ${task} are no pairs of B- and I-: ${labels.slice(0, 6).join(", ")}`,
      { hint: "Word level: class 0 is O, then B-x and I-x of each type." },
    );
  return types;
}

/**
 * Reads the word level of the two-file layout with its own division into tasks. Files that kept the tags of every
 * type in train, as the benchmark's own script writes them, are masked to each task's types.
 * @throws DataError naming file, task, part and index of what is missing or contradicts itself
 */
export async function readContinualWords(folder: string): Promise<readonly WordTask[]> {
  const [configPath] = filesOf(folder);
  const [[outside, ...firstLabels] = [], ...others] = await readClasses(folder);
  if (outside !== OUTSIDE)
    throw new DataError(`${configPath}: class 0 is ${JSON.stringify(outside)}, not O`, {
      hint: "These are sentences of one class each: level: sentence.",
    });
  const labels = [firstLabels, ...others];
  const division = labels.map((own, task) => typesOf(configPath, task, own));
  const known = new Set(division.flat());
  const read = ({ input, label_idx_cil: tags }: z.infer<typeof splitSchema>, place: string) => {
    if (input.length !== tags.length)
      throw damaged(`${place}: ${input.length} inputs, ${tags.length} label_idx_cil`);
    return input.map((words, i): TaggedSentence => {
      const own = tags[i] ?? [];
      if (own.length !== words.length)
        throw damaged(`${place}[${i}]: ${words.length} words, ${own.length} tags`);
      const checked = toIob2(own, (j) => `${place}[${i}], word ${j}`).tags;
      const unknown = checked.map(typeOf).find((type) => type !== undefined && !known.has(type));
      if (unknown !== undefined)
        throw damaged(`${place}[${i}]: the type ${JSON.stringify(unknown)} is in no task`);
      return { words, tags: checked };
    });
  };
  const tasks = await readTaskData(folder, division.length, splitSchema, read);
  return tasks.map(({ train, dev = [], test }, task) => {
    const types = division[task] ?? [];
    return {
      name: `task-${task}`,
      types,
      labels: labels[task] ?? [],
      train: maskTypes(train, types),
      validation: maskTypes(dev, types),
      test: maskTypes(test, division.slice(0, task + 1).flat()),
    };
  });
}

/**
 * Reads the word level of the two-file layout as a stream: the last task's test sentences serve all tasks, types of later
 * ones masked. (The benchmark's own files leave out, task by task, those without an entity learned so far.)
 * @throws DataError as `readContinualWords`, and for what cannot be learned from
 */
export async function loadContinualWords(folder: string, overlap: Overlap): Promise<WordStream> {
  const files = filesOf(folder);
  const read = await readContinualWords(folder);
  const test = read.at(-1)?.test ?? [];
  if (test.length === 0) throw damaged(`${files[1]}: the last task has no test sentences`);
  const notes: string[] = [];
  const tasks = read.map((task, i) => {
    const own: string[] = [];
    const train = withoutOverlap({ train: task.train, test }, overlap, taggedSentences, own);
    notes.push(...own.map((note) => `Task ${task.name}: ${note}`));
    const seen = read.slice(0, i + 1).flatMap(({ types }) => types);
    const whole = { ...task, train, test: maskTypes(test, seen) };
    checkTask(whole);
    return whole;
  });
  return { tasks, dataHash: await sha256Files(files), notes };
}
