import { z } from "zod";
import { ConfigError, DataError } from "../core/errors.ts";
import { createRng, type Rng, shuffled } from "../core/random.ts";
import { sha256Files } from "../io/hash.ts";
import { checkSeen, countOf, noteContradictions, texts, withoutOverlap } from "./checks.ts";
import { readJsonAs } from "./files/lines.ts";
import type { LabelledExample, Task, TaskStream } from "./files/types.ts";
import { readRecipe } from "./recipes.ts";
import { readSource, type Source, type TaskPlan } from "./source.ts";
import {
  assignExamples,
  checkPlans,
  countLabels,
  divideEqually,
  orderLabels,
  splitValidation,
} from "./split.ts";
import type { StreamSpec } from "./streamSpec.ts";

const domainsSchema = z.record(z.string().min(1), z.array(z.string().min(1)).min(1));

async function planTasks(
  spec: StreamSpec,
  source: Source,
  labels: readonly string[],
  rng: Rng,
): Promise<readonly TaskPlan[]> {
  if (spec.taskList !== undefined) return spec.taskList;
  if (spec.domains !== undefined) {
    const domains =
      typeof spec.domains === "string"
        ? await readJsonAs(domainsSchema, spec.domains, 'A domain map is {"domain": ["label", …], …}.')
        : spec.domains;
    return Object.entries(domains).map(([name, members]) => ({ name, labels: members }));
  }
  // A class order asks for another division than the source's own list.
  const own =
    typeof source.tasks === "object" && spec.classOrder !== undefined ? source.tasks.length : source.tasks;
  const division = spec.tasks ?? own;
  if (division === undefined)
    throw new ConfigError("the stream does not say how it is divided into tasks", {
      issues: [{ path: "stream.tasks", expected: "tasks, taskList or domains", received: "none of them" }],
    });
  if (typeof division === "object") return division;
  return divideEqually(orderLabels(labels, spec.classOrder ?? "file", rng.fork("class-order")), division);
}

function checkTask(task: Task): void {
  const trained = countLabels(task.train);
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
    const split =
      source.validation === undefined
        ? splitValidation(trains[i]!, spec.validationFraction, rng.fork("validation", name))
        : { train: trains[i]!, validation: validations[i]! };
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
    `There is no validation file: made one of ${countOf(made, "train row")}, the same part of every class (${kept.toLocaleString("en")} stay in train).`,
  );
}

/**
 * Divides what was read into tasks. Equal sources, specs and seeds give equal streams.
 * @param rng decides class order, shared labels and splits
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
  const notes: string[] = [...(source.notes ?? [])];
  const known = [...countLabels(source.train).keys()];
  checkSeen(texts, "test", countLabels(source.test), known);
  checkSeen(texts, "validation", countLabels(source.validation ?? []), known);
  const plans = await planTasks(spec, source, known, rng);
  checkPlans(plans, known);
  const { firstTasks = plans.length } = spec;
  if (firstTasks > plans.length)
    throw new ConfigError(`the stream has ${plans.length} tasks`, {
      issues: [
        { path: "stream.firstTasks", expected: `at most ${plans.length}`, received: String(firstTasks) },
      ],
    });
  const overlap = source.overlap === "refuse" && spec.allowOverlap ? "allow" : source.overlap;
  const train = withoutOverlap(source, overlap, texts, notes);
  noteContradictions(train, notes);
  const tasks = buildTasks(spec, source, train, plans.slice(0, firstTasks), rng);
  if (source.validation === undefined && spec.validationFraction > 0) noteValidation(tasks, notes);
  return { tasks, ...(source.outOfScope === undefined ? {} : { outOfScope: source.outOfScope }), notes };
}

/**
 * Reads a stream and divides it into tasks. Equal specs, seeds and files give equal streams.
 * @param spec with absolute paths
 * @param seed the run's; `spec.seed` beats it. Decides class order, shared labels and splits.
 */
export async function loadStream(spec: StreamSpec, seed: number): Promise<TaskStream> {
  const rng = createRng(spec.seed ?? seed);
  const source =
    spec.recipe !== undefined && spec.path !== undefined
      ? await readRecipe(spec.recipe, spec.path, rng.fork("recipe"))
      : await readSource(spec);
  const stream = await buildStream(spec, source, rng);
  const domainFile = typeof spec.domains === "string" ? [spec.domains] : [];
  return { ...stream, dataHash: await sha256Files([...source.files, ...domainFile]) };
}
