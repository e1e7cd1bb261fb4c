import { existsSync } from "node:fs";
import { appendFile, type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { matrixToCsv } from "../continual/metrics/metrics.ts";
import { computeFigures, isEvaluation } from "../continual/metrics/runMetrics.ts";
import type { Evaluation } from "../continual/taskTypes/taskType.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import type { RunEvent, RunHeader, RunMetrics } from "../core/record.ts";
import { appendFlags, writeFileAtomic } from "../io/atomic.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";
import { renderHtml } from "../report/html.ts";
import { parseEvents, readRunRecord } from "../report/record/record.ts";
import { encodePredictions, predictionsFile, readPredictions } from "./predictions.ts";
import { TensorboardLog, tensorboardFile } from "./tensorboard.ts";

export interface RecorderOptions {
  /** Of a task's steps at most one in this many milliseconds is kept, besides the first and the last. */
  readonly stepIntervalMs?: number;
}

const roomHint = "Make room on the disk, then go on with --resume.";

/** The report is written after each of so many tasks, then whenever there are a tenth more. */
const EACH_UP_TO = 20;
const GROWTH = 1.1;

type StepEvent = Extract<RunEvent, { readonly type: "step" }>;

/** Length of the whole lines at the start of a file; what follows is a line that a killed writer left torn. */
function wholeLinesBytes(bytes: Uint8Array): number {
  return bytes.lastIndexOf(0x0a) + 1;
}

/**
 * Writes a run's record: `events.jsonl` line by line, its figures beside it for TensorBoard, and after every task the matrices and after most the
 * report, so that a run killed at any moment leaves both. `metrics.json` appears only when the run is finished.
 */
export class Recorder implements AsyncDisposable {
  /** What an earlier, interrupted run recorded. */
  readonly pastEvents: readonly RunEvent[];
  readonly #folder: string;
  readonly #file: FileHandle;
  readonly #stepIntervalMs: number;
  readonly #rows = new Map<number, Evaluation>();
  readonly #tensorboard = new TensorboardLog();
  #header: RunHeader | undefined;
  #lastStep: StepEvent | undefined;
  /** Tasks that the report shows. */
  #reported: number;

  private constructor(folder: string, file: FileHandle, past: readonly RunEvent[], options: RecorderOptions) {
    this.#folder = folder;
    this.#file = file;
    this.#stepIntervalMs = options.stepIntervalMs ?? 500;
    this.pastEvents = past;
    for (const event of past) this.#remember(event);
    this.#reported = this.#rows.size;
  }

  /**
   * Opens a run folder's record to append to, and cuts off a torn last line.
   * The caller holds the folder's lock.
   */
  static async open(folder: string, options: RecorderOptions = {}): Promise<Recorder> {
    const path = join(folder, "events.jsonl");
    const file = await open(path, appendFlags, 0o666).catch((cause: unknown) => {
      const link = errorCode(cause) === "ELOOP";
      throw new StoreError(
        `${path}: ${link ? "is a link, which is not written through" : "cannot be opened"}`,
        {
          cause,
        },
      );
    });
    try {
      const bytes = await file.readFile();
      const whole = wholeLinesBytes(bytes);
      if (whole < bytes.length) {
        await file.truncate(whole);
        await file.datasync();
      }
      const text = new TextDecoder().decode(bytes.subarray(0, whole));
      const recorder = new Recorder(folder, file, parseEvents(text), options);
      await recorder.#dropUnrecorded();
      await recorder.#beginTensorboard();
      await recorder.#finishFiles();
      return recorder;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Appends the event; on return its line is with the operating system, and for all but steps on the disk. */
  async record(event: RunEvent): Promise<void> {
    if (event.type === "step" && !this.#keepsStep(event)) return;
    this.#remember(event);
    await this.#append(event);
    await this.#appendTensorboard(this.#tensorboard.encode(event));
    if (isEvaluation(event) || event.type === "run-finished")
      await this.#writeReports(event.type === "run-finished" || this.#isReportDue());
    if (event.type === "run-finished") await this.#writeMetrics(event.metrics);
  }

  /** Appends the answers of an evaluation, before the evaluation itself is recorded. */
  async recordPredictions(lines: readonly RecordedPrediction[]): Promise<void> {
    const path = join(this.#folder, predictionsFile);
    await appendFile(path, encodePredictions(lines), { flag: appendFlags }).catch((cause: unknown) => {
      throw new StoreError(`${path}: cannot be written`, { cause, exitCode: 1, hint: roomHint });
    });
  }

  /** Answers of an evaluation that was not recorded are given again. */
  async #dropUnrecorded(): Promise<void> {
    const lines = await readPredictions(this.#folder);
    const kept = lines.filter(({ learned }) => this.#rows.has(learned - 1));
    if (lines.length > 0) await writeFileAtomic(join(this.#folder, predictionsFile), encodePredictions(kept));
  }

  /** What a run that is gone on with has recorded by then; a torn end is not kept. */
  async #beginTensorboard(): Promise<void> {
    const past = this.pastEvents.map((event) => this.#tensorboard.encode(event));
    if (past.length > 0) await writeFileAtomic(join(this.#folder, tensorboardFile), Buffer.concat(past));
  }

  async #appendTensorboard(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const path = join(this.#folder, tensorboardFile);
    await appendFile(path, bytes, { flag: appendFlags }).catch((cause: unknown) => {
      throw new StoreError(`${path}: cannot be written`, { cause, exitCode: 1, hint: roomHint });
    });
  }

  #keepsStep(event: StepEvent): boolean {
    const last = this.#lastStep;
    const edge = last === undefined || last.task !== event.task || event.step === event.totalSteps;
    return edge || Date.parse(event.time) - Date.parse(last.time) >= this.#stepIntervalMs;
  }

  #remember(event: RunEvent): void {
    if (event.type === "step") this.#lastStep = event;
    if (isEvaluation(event)) this.#rows.set(event.task, event);
    if (event.type === "run-started") this.#header = event.header;
  }

  async #append(event: RunEvent): Promise<void> {
    try {
      await this.#file.appendFile(`${JSON.stringify(event)}\n`);
      if (event.type !== "step") await this.#file.datasync();
    } catch (cause) {
      throw new StoreError(`${join(this.#folder, "events.jsonl")}: cannot be written`, {
        cause,
        exitCode: 1,
        hint: roomHint,
      });
    }
  }

  /** `metrics.json` is written last: where the end is recorded without it, the writer died between the two. */
  async #finishFiles(): Promise<void> {
    const end = this.pastEvents.findLast((event) => event.type === "run-finished");
    if (end === undefined || existsSync(join(this.#folder, "metrics.json"))) return;
    await this.#writeReports(true);
    await this.#writeMetrics(end.metrics);
  }

  async #writeMetrics(metrics: RunMetrics): Promise<void> {
    await writeFileAtomic(join(this.#folder, "metrics.json"), `${JSON.stringify(metrics, null, 2)}\n`);
  }

  /** Each report shows every pair of tasks: of many tasks one after each would cost the cube of their number. */
  #isReportDue(): boolean {
    return this.#rows.size <= EACH_UP_TO || this.#rows.size >= GROWTH * this.#reported;
  }

  async #writeReports(withPage: boolean): Promise<void> {
    const rows = [...this.#rows.values()];
    if (rows.length > 0) {
      const { level = "sentence", tasks = [] } = this.#header ?? {};
      const figures = computeFigures(level, rows, tasks);
      const { cil, til } = figures;
      const names = rows.map((row) => tasks[row.task]?.name ?? `task-${row.task}`);
      await writeFileAtomic(join(this.#folder, "cil_matrix.csv"), matrixToCsv(cil.matrix, names));
      await writeFileAtomic(join(this.#folder, "til_matrix.csv"), matrixToCsv(til.matrix, names));
      const routed = figures.level === undefined ? figures.routed : undefined;
      if (routed !== undefined)
        await writeFileAtomic(join(this.#folder, "routed_matrix.csv"), matrixToCsv(routed.matrix, names));
    }
    if (withPage) await this.#writePage();
  }

  async #writePage(): Promise<void> {
    this.#reported = this.#rows.size;
    const html = renderHtml(await readRunRecord(this.#folder));
    await writeFileAtomic(join(this.#folder, "report.html"), html);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    // Of a run that stopped in between; accrete report makes what cannot be written now.
    if (this.#rows.size > this.#reported) await this.#writePage().catch(() => {});
  }
}
