/**
 * A run in pieces, which may come from many machines: adapters of different tasks are independent given seed and name, and
 * each pair of an adapter and a test set is computed once. The pieces of a task are its adapter with what a router keeps of
 * its classes, and the adapter's answers to every test set; a piece of the whole run is its baseline. The run itself finds them
 * and computes the rest.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { requireCombination } from "../config/combinations.ts";
import { type Places, placedAt } from "../config/places.ts";
import type { ResolvedConfig } from "../config/schema.ts";
import type { TaskType } from "../continual/taskTypes/taskType.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import { collectVersions } from "../core/packageInfo.ts";
import { type BaselineMetrics, baselineSchema, type RunEventBody, runEventSchema } from "../core/record.ts";
import { writeFolderAtomic } from "../io/atomic.ts";
import { processorFlags, usefulFlags } from "../io/processor.ts";
import type { ContinualModel, Learned } from "../model/continualModel.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone, readArchitecture } from "../model/settings/backbone.ts";
import { settingsOf } from "../model/settings/settings.ts";
import { emptyState } from "../model/state.ts";
import { encodeTask, readContributions, statisticsFile } from "../model/taskFiles.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import type { AdoptedTask } from "./adapterSource.ts";
import { measureBaseline } from "./baseline.ts";
import { type LoadedStream, loadTasks, type StreamTask } from "./stream.ts";
import { Timekeeper } from "./timekeeper.ts";

/** Whether tasks of such a run can be learned apart from each other. */
export function isDivisible(config: ResolvedConfig): boolean {
  // A shared network goes on from task to task; the first head's `O` is part of every later training.
  const joint = config.method.adapter === "lora" && config.method.selector?.kind === "newlora";
  return !joint && !(config.level === "word" && config.outside === "first");
}

/** Whether answers are made of each adapter's outputs alone, so that they can be asked for apart from each other too. */
export function hasOwnAnswers({ level, head }: ResolvedConfig): boolean {
  return level === "sentence" && head.kind !== "none";
}

/** What a process computes of a task. */
export const taskParts = ["learn", "answers"] as const;
export type TaskPart = (typeof taskParts)[number];

export const pieceNameSchema = z.discriminatedUnion("part", [
  z.object({ part: z.enum(taskParts), task: z.number() }),
  z.object({ part: z.literal("baseline") }),
]);
/** Which piece of a run: a task's, by its number in the stream, or the run's own. */
export type PieceName = z.infer<typeof pieceNameSchema>;

const pieceSchema = z.object({
  schemaVersion: z.literal(1),
  task: z.string(),
  /** Engine and processor, on which the last bits of every number hang. */
  computedBy: z.string(),
  seconds: z.number(),
  truncatedTexts: z.number(),
  stoppedEarly: z.boolean(),
  validationAccuracy: z.number().optional(),
  /** Steps and epochs. */
  events: z.array(runEventSchema),
});
type Piece = z.infer<typeof pieceSchema>;

const answersSchema = z.object({ schemaVersion: z.literal(1), computedBy: z.string(), seconds: z.number() });
type Answers = z.infer<typeof answersSchema>;

const baselinePieceSchema = z.object({ schemaVersion: z.literal(1), baseline: baselineSchema });

const pieceFile = "piece.json";
const adapterFolder = "adapter";

/** A piece as part of names. */
export function formatPiece(piece: PieceName): string {
  return piece.part === "baseline" ? "baseline" : `task-${piece.task}-${piece.part}`;
}

/** Where in the folder of a run's pieces one of them lies. */
export function pieceFolder(folder: string, piece: PieceName): string {
  return join(folder, formatPiece(piece));
}

function logitsFile(test: number): string {
  return `test-${test}.f32`;
}

/** What decides the last bits: machines that say the same compute the same bytes. */
export function computedHere(): string {
  const flags = processorFlags();
  const own = usefulFlags.filter((flag) => flags.has(flag));
  return `${collectVersions().engine} ${process.platform}-${process.arch} ${own.join(" ")}`.trim();
}

export interface PieceOptions {
  readonly validate?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Opened {
  readonly stream: LoadedStream;
  readonly model: ContinualModel;
  /** Test sets as the model reads them, once they were asked for. */
  readonly tests: ReturnType<TaskType["encode"]>[];
}

/** As a run opens them. */
async function openFor(config: ResolvedConfig, places: Places, signal?: AbortSignal): Promise<Opened> {
  const here = placedAt(config, places);
  const { backbone, backboneRevision: revision, precision, method, head, level } = here;
  const family = await readArchitecture(backbone, revision, signal);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  const stream = await loadTasks(here);
  const found = await loadBackbone(backbone, { revision, precision, signal });
  const loaded = { ...found, folder: { ...found.folder, source: config.backbone } };
  const model = await openModel(settingsOf(config), loaded, {
    trunks: "disk",
    alone: true,
    expectedLabels: stream.tasks.flatMap(({ labels }) => labels),
    tasks: stream.tasks.length,
  });
  return { stream, model, tests: [] };
}

type Timed = RunEventBody & { readonly time: string };

interface LearnedPiece {
  readonly learned: Learned;
  readonly events: readonly Timed[];
  readonly seconds: number;
}

async function learnPiece(
  model: ContinualModel,
  task: StreamTask,
  index: number,
  { validate, signal }: PieceOptions,
): Promise<LearnedPiece> {
  const time = new Timekeeper([model.plannedSteps(task.train.length)]);
  const events: Timed[] = [];
  const note = (event: RunEventBody) => events.push({ ...event, time: new Date().toISOString() });
  time.startTask();
  const learning = model.learn(emptyState, task, { checked: true, validate, signal });
  for (;;) {
    const next = await learning.next();
    if (next.done) return { learned: next.value, events, seconds: time.finishTask() };
    if (next.value.type === "epoch") note({ ...next.value, task: index });
    if (next.value.type !== "step") continue;
    const { examples, tokens, ...step } = next.value;
    note({ ...step, task: index, ...time.step(examples, tokens) });
  }
}

async function writeLearned(
  { stream, model }: Opened,
  index: number,
  folder: string,
  options: PieceOptions,
): Promise<void> {
  const task = stream.tasks[index]!;
  const { learned, events, seconds } = await learnPiece(model, task, index, options);
  const files = new Map<string, Uint8Array | string>();
  for (const [name, bytes] of encodeTask(learned.task)) files.set(`${adapterFolder}/${name}`, bytes);
  const { truncatedTexts, stoppedEarly, validationAccuracy } = learned;
  const piece = {
    schemaVersion: 1,
    task: task.name,
    computedBy: computedHere(),
    seconds,
    truncatedTexts,
    stoppedEarly,
    ...(validationAccuracy !== undefined && { validationAccuracy }),
    events,
  };
  files.set(pieceFile, JSON.stringify(piece));
  await writeFolderAtomic(pieceFolder(folder, { part: "learn", task: index }), files, {
    replaces: () => true,
  });
}

/** What an adapter says of every test set. */
async function writeAnswers(
  { stream, tests, model: { type } }: Opened,
  index: number,
  folder: string,
  { signal }: PieceOptions,
): Promise<void> {
  const { task: name } = await readPiece(folder, index, stream.tasks[index]!);
  const where = adapterOf(folder, index);
  const learned = type.restore(name, await readPeftFolder(where), where);
  const begin = performance.now();
  const files = new Map<string, Uint8Array | string>();
  for (const [test, task] of stream.tasks.entries()) {
    tests[test] ??= type.encode(task.test, { what: `test of ${task.name}` });
    const encoded = tests[test];
    const values = await type.outputs?.(learned, encoded, signal);
    if (values !== undefined)
      files.set(logitsFile(test), new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  const seconds = (performance.now() - begin) / 1000;
  files.set(pieceFile, JSON.stringify({ schemaVersion: 1, computedBy: computedHere(), seconds }));
  await writeFolderAtomic(pieceFolder(folder, { part: "answers", task: index }), files, {
    replaces: () => true,
  });
}

async function writeBaseline(
  { stream, model }: Opened,
  folder: string,
  { signal }: PieceOptions,
): Promise<void> {
  const baseline = await measureBaseline(model, stream.tasks, signal);
  const files = new Map([[pieceFile, JSON.stringify({ schemaVersion: 1, baseline })]]);
  await writeFolderAtomic(pieceFolder(folder, { part: "baseline" }), files, { replaces: () => true });
}

/** A run's model and data, opened once for any number of its pieces. */
export class PieceMaker implements AsyncDisposable {
  readonly #config: ResolvedConfig;
  readonly #opened: Opened;

  private constructor(config: ResolvedConfig, opened: Opened) {
    this.#config = config;
    this.#opened = opened;
  }

  /** @throws StoreError for a run whose tasks hang on each other */
  static async open(
    config: ResolvedConfig,
    { places = {}, signal }: { readonly places?: Places | undefined } & Pick<PieceOptions, "signal"> = {},
  ): Promise<PieceMaker> {
    if (!isDivisible(config))
      throw new StoreError("the tasks of this run hang on each other, and cannot be learned apart", {
        hint: "Run it whole: accrete run.",
      });
    return new PieceMaker(config, await openFor(config, places, signal));
  }

  /**
   * Computes a piece; of a run whose tasks have no answers of their own, none of those.
   * @param folder takes the pieces of the run; for answers the task was learned into it
   * @throws StoreError for a stream that has no such task
   */
  async compute(piece: PieceName, folder: string, options: PieceOptions = {}): Promise<void> {
    if (piece.part === "baseline") return await writeBaseline(this.#opened, folder, options);
    const { part, task } = piece;
    const { length } = this.#opened.stream.tasks;
    if (task >= length) throw new StoreError(`the stream has ${length} tasks, and none with number ${task}`);
    if (part === "learn") await writeLearned(this.#opened, task, folder, options);
    else if (hasOwnAnswers(this.#config)) await writeAnswers(this.#opened, task, folder, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.model[Symbol.asyncDispose]();
  }
}

/** A task that was learned elsewhere. */
export interface PieceTask extends AdoptedTask {
  readonly events: readonly RunEventBody[];
  readonly seconds: number;
  readonly validationAccuracy: number | undefined;
}

/** The pieces of a run, to put it together of. */
export class Pieces {
  readonly #folder: string;
  readonly #level: ResolvedConfig["level"];
  readonly #pieces: readonly Piece[];
  readonly #answers: readonly (Answers | undefined)[];
  /** Undefined where it was not measured. */
  readonly baseline: BaselineMetrics | undefined;

  private constructor(
    folder: string,
    level: ResolvedConfig["level"],
    pieces: readonly Piece[],
    answers: readonly (Answers | undefined)[],
    baseline: BaselineMetrics | undefined,
  ) {
    this.#folder = folder;
    this.#level = level;
    this.#pieces = pieces;
    this.#answers = answers;
    this.baseline = baseline;
  }

  /** @throws StoreError naming the piece that is missing, damaged, or of another task */
  static async open(
    folder: string,
    { level }: Pick<ResolvedConfig, "level">,
    tasks: readonly StreamTask[],
  ): Promise<Pieces> {
    const pieces = await Promise.all(tasks.map((task, index) => readPiece(folder, index, task)));
    const answers = await Promise.all(
      tasks.map((_, task) => readIfThere(folder, { part: "answers", task }, answersSchema)),
    );
    return new Pieces(folder, level, pieces, answers, await readBaseline(folder));
  }

  /** The machines that they were computed on, as far as that decides the last bits. */
  get computedBy(): readonly string[] {
    const all = [...this.#pieces, ...this.#answers.flatMap((each) => each ?? [])];
    return [...new Set([...all.map(({ computedBy }) => computedBy), computedHere()])].sort();
  }

  /** What the answers of a task's adapter took. */
  evalSeconds(index: number): number {
    return this.#answers[index]?.seconds ?? 0;
  }

  /** @throws CheckpointError if its adapter cannot be read */
  async task(index: number): Promise<PieceTask> {
    const piece = this.#pieces[index]!;
    const where = adapterOf(this.#folder, index);
    // Rows of words may hold what earlier tasks found in them; those of texts are the task's own.
    const own = this.#level === "sentence" && existsSync(join(where, statisticsFile));
    const kept = own ? await readContributions(where) : undefined;
    const { truncatedTexts, stoppedEarly, validationAccuracy, seconds, events } = piece;
    return {
      adapter: { saved: await readPeftFolder(where), where, rows: kept },
      learned: { truncatedTexts, stoppedEarly },
      events,
      seconds,
      validationAccuracy,
    };
  }

  /** What a task's adapter says of a test set; undefined where it was not computed. */
  async outputs(task: number, test: number): Promise<Float32Array | undefined> {
    const path = join(pieceFolder(this.#folder, { part: "answers", task }), logitsFile(test));
    const bytes = await readFile(path).catch((cause: unknown) => {
      if (errorCode(cause) === "ENOENT") return undefined;
      throw new StoreError(`${path}: cannot be read`, { cause });
    });
    // A buffer of its own begins where a number may begin.
    return bytes && new Float32Array(new Uint8Array(bytes).buffer);
  }
}

function adapterOf(folder: string, task: number): string {
  return join(pieceFolder(folder, { part: "learn", task }), adapterFolder);
}

/** @returns undefined where the piece is not there */
async function readIfThere<T>(
  folder: string,
  piece: PieceName,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  const text = await readFile(join(pieceFolder(folder, piece), pieceFile), "utf8").catch(() => undefined);
  return text === undefined ? undefined : schema.parse(JSON.parse(text));
}

async function readBaseline(folder: string): Promise<BaselineMetrics | undefined> {
  return (await readIfThere(folder, { part: "baseline" }, baselinePieceSchema))?.baseline;
}

async function readPiece(folder: string, index: number, { name }: StreamTask): Promise<Piece> {
  const path = join(pieceFolder(folder, { part: "learn", task: index }), pieceFile);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new StoreError(`${path}: cannot be read; the piece of task ${name} is missing`, {
      cause,
      hint: `Compute it: accrete run … --piece ${index} --pieces ${folder}.`,
    });
  });
  const parsed = pieceSchema.safeParse(JSON.parse(text));
  if (parsed.success && parsed.data.task === name) return parsed.data;
  throw new StoreError(`${path}: is not the piece of task ${name}`, { hint: "Compute it anew." });
}
