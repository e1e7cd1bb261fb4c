import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { z } from "zod";
import { ConfigError, DataError } from "../core/errors.ts";
import { createRng, type Rng, shuffled } from "../core/random.ts";
import { readJson } from "./files/lines.ts";
import type { LabelledExample, Task, TaskStream } from "./files/types.ts";
import { readRecipe } from "./recipes.ts";
import { readSource, type Source, type TaskPlan } from "./source.ts";
import {
  assignExamples,
  checkLabelsSeen,
  checkPlans,
  divideEqually,
  findOverlap,
  labelsOf,
  needsTasks,
  orderLabels,
  splitValidation,
} from "./split.ts";
import type { StreamSpec } from "./streamSpec.ts";

const domainsSchema = z.record(z.string().min(1), z.array(z.string().min(1)).min(1));

async function readDomains(path: string): Promise<z.infer<typeof domainsSchema>> {
  const result = domainsSchema.safeParse(await readJson(path));
  if (result.success) return result.data;
  throw new DataError(`${path}: ${z.prettifyError(result.error)}`, {
    hint: 'A domain map is {"domain": ["label", …], …}.',
  });
}

async function planTasks(
  spec: StreamSpec,
  source: Source,
  labels: readonly string[],
  rng: Rng,
): Promise<readonly TaskPlan[]> {
  if (spec.taskList !== undefined) return spec.taskList;
  if (spec.domains !== undefined) {
    const domains = typeof spec.domains === "string" ? await readDomains(spec.domains) : spec.domains;
    return Object.entries(domains).map(([name, members]) => ({ name, labels: members }));
  }
  // A class order asks for another division than the source's own list.
  const own =
    typeof source.tasks === "object" && spec.classOrder !== undefined ? source.tasks.length : source.tasks;
  const division = spec.tasks ?? own ?? needsTasks();
  if (typeof division === "object") return division;
  return divideEqually(orderLabels(labels, spec.classOrder ?? "file", rng.fork("class-order")), division);
}

function count(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

/** Train without the rows that test has too, where the source's rule is to drop them. */
function withoutOverlap(spec: StreamSpec, source: Source, notes: string[]): readonly LabelledExample[] {
  const overlap = findOverlap(source.train, source.test);
  const first = overlap[0];
  if (first === undefined) return source.train;
  const example = `${JSON.stringify(first.text)} (${first.label})`;
  if (source.overlap === "drop") {
    const dropped = new Set(overlap);
    notes.push(`Dropped ${count(overlap.length, "train row")} whose text is in test, e.g. ${example}.`);
    return source.train.filter((row) => !dropped.has(row));
  }
  if (!spec.allowOverlap)
    throw new DataError(`train shares texts with test: ${count(overlap.length, "row")}, e.g. ${example}`, {
      hint: "Remove them from train, or set stream.allowOverlap: true.",
    });
  notes.push(`Train keeps ${count(overlap.length, "row")} whose text is in test, as allowOverlap says.`);
  return source.train;
}

/** A short experiment on a long stream: the tasks are those that the whole division begins with. */
function firstOf(plans: readonly TaskPlan[], count = plans.length): readonly TaskPlan[] {
  if (count > plans.length)
    throw new ConfigError(`the stream has ${plans.length} tasks`, {
      issues: [{ path: "stream.firstTasks", expected: `at most ${plans.length}`, received: String(count) }],
    });
  return plans.slice(0, count);
}

function checkTask(task: Task): void {
  const trained = new Set(labelsOf(task.train));
  const untrained = task.labels.find((label) => !trained.has(label));
  if (untrained !== undefined)
    throw new DataError(`task ${task.name} has no training example of ${JSON.stringify(untrained)} left`, {
      hint: "The label has fewer examples than tasks that list it: add examples, or list it in fewer tasks.",
    });
  if (task.test.length === 0)
    throw new DataError(`task ${task.name} has no test examples: its accuracy would be undefined`, {
      hint: "Add test rows with its labels.",
    });
}

/** Some examples by chance, in the order of all. */
function drawn(examples: readonly LabelledExample[], count: number, rng: Rng): readonly LabelledExample[] {
  if (count >= examples.length) return examples;
  const chosen = new Set(shuffled(examples, rng).slice(0, count));
  return examples.filter((example) => chosen.has(example));
}

function buildTasks(
  spec: StreamSpec,
  source: Source,
  train: readonly LabelledExample[],
  plans: readonly TaskPlan[],
  rng: Rng,
): Task[] {
  const trains = assignExamples(train, plans, rng.fork("share", "train"));
  const validations = assignExamples(source.validation ?? [], plans, rng.fork("share", "validation"));
  const tests = assignExamples(source.test, plans, rng.fork("share", "test"));
  return plans.map(({ name, labels }, i) => {
    const given = { train: trains[i]!, validation: validations[i]! };
    const split =
      source.validation === undefined
        ? splitValidation(given.train, spec.validationFraction, rng.fork("validation", name))
        : given;
    const test = drawn(tests[i]!, spec.testTexts ?? Number.POSITIVE_INFINITY, rng.fork("test", name));
    const task: Task = { name, labels, ...split, test };
    checkTask(task);
    return task;
  });
}

function noteValidation(tasks: readonly Task[], notes: string[]): void {
  const made = tasks.reduce((sum, { validation }) => sum + validation.length, 0);
  const kept = tasks.reduce((sum, { train }) => sum + train.length, 0);
  notes.push(
    `There is no validation file: made one of ${count(made, "train row")}, the same part of every class (${kept.toLocaleString("en")} stay in train).`,
  );
}

/** SHA-256 over the files' bytes, one after another, hex. */
export async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    const chunks: AsyncIterable<Buffer> = createReadStream(path);
    for await (const chunk of chunks) hash.update(chunk);
  }
  return hash.digest("hex");
}

/**
 * Divides what was read into tasks. Equal sources, specs and seeds give equal streams.
 *
 * @param rng decides class order, shared labels and splits
 * @throws DataError or ConfigError (both exit 2) saying what cannot be learned from
 */
export async function buildStream(
  spec: StreamSpec,
  source: Source,
  rng: Rng,
): Promise<Omit<TaskStream, "dataHash">> {
  if (source.train.length === 0)
    throw new DataError(`${source.files[0]} has no examples`, {
      hint: "Train needs rows of text and label.",
    });
  const notes: string[] = [];
  const known = labelsOf(source.train);
  checkLabelsSeen("test", source.test, known);
  checkLabelsSeen("validation", source.validation ?? [], known);
  const plans = await planTasks(spec, source, known, rng);
  checkPlans(plans, known);
  const kept = firstOf(plans, spec.firstTasks);
  const train = withoutOverlap(spec, source, notes);
  const tasks = buildTasks(spec, source, train, kept, rng);
  if (source.validation === undefined && spec.validationFraction > 0) noteValidation(tasks, notes);
  return { tasks, ...(source.outOfScope === undefined ? {} : { outOfScope: source.outOfScope }), notes };
}

/**
 * Reads a stream and divides it into tasks. Equal specs, seeds and files give equal streams.
 *
 * @param spec with absolute paths
 * @param seed the run's; `spec.seed` beats it. Decides class order, shared labels and splits.
 * @throws DataError or ConfigError (both exit 2) saying what cannot be learned from, and where it stands
 */
export async function loadStream(spec: StreamSpec, seed: number): Promise<TaskStream> {
  const rng = createRng(spec.seed ?? seed);
  const source =
    spec.recipe !== undefined && spec.path !== undefined
      ? await readRecipe(spec.recipe, spec.path, rng.fork("recipe"))
      : await readSource(spec);
  const stream = await buildStream(spec, source, rng);
  const domainFile = typeof spec.domains === "string" ? [spec.domains] : [];
  return { ...stream, dataHash: await hashFiles([...source.files, ...domainFile]) };
}
