/**
 * A run in pieces, which may come from many machines: adapters of different tasks are independent given seed and name, and
 * each pair of an adapter and a test set is computed once. A piece is a task's adapter, what a router keeps of it, and what
 * the adapter says of every test set; the run itself finds them and computes the rest.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { requireCombination } from "../config/combinations.ts";
import { type Places, placedAt } from "../config/places.ts";
import type { ResolvedConfig } from "../config/schema.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import { collectVersions } from "../core/packageInfo.ts";
import { type RunEventBody, runEventSchema } from "../core/record.ts";
import { writeFolderAtomic } from "../io/atomic.ts";
import { processorFlags, usefulFlags } from "../io/processor.ts";
import type { ContinualModel, Learned } from "../model/continualModel.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone, readArchitecture } from "../model/settings/backbone.ts";
import { settingsOf } from "../model/settings/settings.ts";
import { emptyState } from "../model/state.ts";
import { encodeTask } from "../model/taskFiles.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import type { AdoptedTask } from "./adapterSource.ts";
import { type LoadedStream, loadTasks, type StreamTask } from "./stream.ts";
import { Timekeeper } from "./timekeeper.ts";

/** Whether tasks of such a run can be learned apart from each other. */
export function isDivisible(config: ResolvedConfig): boolean {
  // A shared network goes on from task to task; the first head's `O` is part of every later training.
  const joint = config.method.adapter === "lora" && config.method.selector?.kind === "newlora";
  return !joint && !(config.level === "word" && config.outside === "first");
}

const pieceSchema = z.object({
  schemaVersion: z.literal(1),
  task: z.string(),
  /** Engine and processor, on which the last bits of every number hang. */
  computedBy: z.string(),
  /** Of learning, and of asking the adapter about every test set. */
  seconds: z.number(),
  evalSeconds: z.number(),
  truncatedTexts: z.number(),
  stoppedEarly: z.boolean(),
  validationAccuracy: z.number().optional(),
  /** Steps and epochs. */
  events: z.array(runEventSchema),
});
type Piece = z.infer<typeof pieceSchema>;

const pieceFile = "piece.json";
const adapterFolder = "adapter";

export function pieceFolder(folder: string, index: number): string {
  return join(folder, `task-${index}`);
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
  readonly places?: Places | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Opened {
  readonly stream: LoadedStream;
  readonly model: ContinualModel;
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
  return { stream, model };
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

/** What an adapter says of every test set; of types whose answers are not made of that alone, nothing. */
async function outputsOf(
  { type }: ContinualModel,
  { task }: Learned,
  tasks: readonly StreamTask[],
  signal?: AbortSignal,
): Promise<readonly Float32Array[]> {
  if (task.learned === undefined || type.outputs === undefined) return [];
  const all: Float32Array[] = [];
  for (const { name, test } of tasks)
    all.push(await type.outputs(task.learned, type.encode(test, { what: `test of ${name}` }), signal));
  return all;
}

/**
 * Computes the piece of one task.
 * @param index of the task in the stream
 * @param folder takes the pieces of the run
 * @throws StoreError for a run whose tasks hang on each other, or a stream that has no such task
 */
export async function computePiece(
  config: ResolvedConfig,
  index: number,
  folder: string,
  options: PieceOptions = {},
): Promise<void> {
  if (!isDivisible(config))
    throw new StoreError("the tasks of this run hang on each other, and cannot be learned apart", {
      hint: "Run it whole: accrete run.",
    });
  const { places = {}, signal } = options;
  const { stream, model: opened } = await openFor(config, places, signal);
  await using model = opened;
  const task = stream.tasks[index];
  if (task === undefined)
    throw new StoreError(`the stream has ${stream.tasks.length} tasks, and none with number ${index}`);
  const { learned, events, seconds } = await learnPiece(model, task, index, options);
  const files = new Map<string, Uint8Array | string>();
  for (const [name, bytes] of encodeTask(learned.task)) files.set(`${adapterFolder}/${name}`, bytes);
  const asked = performance.now();
  for (const [test, values] of (await outputsOf(model, learned, stream.tasks, signal)).entries())
    files.set(logitsFile(test), new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  const { truncatedTexts, stoppedEarly, validationAccuracy } = learned;
  const piece = {
    schemaVersion: 1,
    task: task.name,
    computedBy: computedHere(),
    seconds,
    evalSeconds: (performance.now() - asked) / 1000,
    truncatedTexts,
    stoppedEarly,
    ...(validationAccuracy !== undefined && { validationAccuracy }),
    events,
  };
  files.set(pieceFile, JSON.stringify(piece));
  await writeFolderAtomic(pieceFolder(folder, index), files, { replaces: () => true });
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
  readonly #pieces: readonly Piece[];

  private constructor(folder: string, pieces: readonly Piece[]) {
    this.#folder = folder;
    this.#pieces = pieces;
  }

  /** @throws StoreError naming the piece that is missing, damaged, or of another task */
  static async open(folder: string, tasks: readonly StreamTask[]): Promise<Pieces> {
    const pieces = await Promise.all(tasks.map((task, index) => readPiece(folder, index, task)));
    return new Pieces(folder, pieces);
  }

  /** The machines that they were computed on, as far as that decides the last bits. */
  get computedBy(): readonly string[] {
    return [...new Set([...this.#pieces.map(({ computedBy }) => computedBy), computedHere()])].sort();
  }

  /** What the answers of a task's adapter took. */
  evalSeconds(index: number): number {
    return this.#pieces[index]?.evalSeconds ?? 0;
  }

  /** @throws CheckpointError if its adapter cannot be read */
  async task(index: number): Promise<PieceTask> {
    const piece = this.#pieces[index]!;
    const where = join(pieceFolder(this.#folder, index), adapterFolder);
    const { truncatedTexts, stoppedEarly, validationAccuracy, seconds, events } = piece;
    return {
      adapter: { saved: await readPeftFolder(where), where },
      learned: { truncatedTexts, stoppedEarly },
      events,
      seconds,
      validationAccuracy,
    };
  }

  /** What a task's adapter says of a test set; undefined where it was not computed. */
  async outputs(task: number, test: number): Promise<Float32Array | undefined> {
    const path = join(pieceFolder(this.#folder, task), logitsFile(test));
    const bytes = await readFile(path).catch((cause: unknown) => {
      if (errorCode(cause) === "ENOENT") return undefined;
      throw new StoreError(`${path}: cannot be read`, { cause });
    });
    // A buffer of its own begins where a number may begin.
    return bytes && new Float32Array(new Uint8Array(bytes).buffer);
  }
}

async function readPiece(folder: string, index: number, { name }: StreamTask): Promise<Piece> {
  const path = join(pieceFolder(folder, index), pieceFile);
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
