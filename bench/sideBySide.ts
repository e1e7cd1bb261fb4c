/** What benchmarks beside PyTorch share: two worker processes that take turns, and their medians. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../src/core/errors.ts";

interface Answer {
  readonly ready?: boolean;
  readonly seconds?: readonly number[];
  readonly cpuSeconds?: readonly number[];
  readonly peakRssBytes: number;
}

/** A worker process (`serve.ts`, or one of `peers/`) that answers each line with one. */
export class Worker {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    const output = this.child.stdout;
    if (output === null) throw new EngineError(`${command}: no output`);
    this.lines = createInterface({ input: output })[Symbol.asyncIterator]();
  }

  async read(): Promise<Answer> {
    const { value, done } = await this.lines.next();
    if (done) throw new EngineError("a worker ended early");
    return JSON.parse(value);
  }

  async steps(count: number): Promise<Answer> {
    this.child.stdin?.write(`${JSON.stringify({ steps: count })}\n`);
    return this.read();
  }

  quit(): void {
    this.child.stdin?.write('{"quit": true}\n');
    this.child.stdin?.end();
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** A side's median, and the most memory that its process held. */
export interface Measured {
  readonly milliseconds: number;
  /** Processor time of all threads: what says something on a machine that is busy with other things. */
  readonly cpuMilliseconds: number;
  readonly peakMb: number;
}

/**
 * Workers take turns of a few steps; the first round warms up and does not count.
 * @param each steps a turn
 * @returns one a worker
 */
export async function takeTurns(
  workers: readonly Worker[],
  rounds: number,
  each: number,
): Promise<readonly Measured[]> {
  const all = workers.map((worker) => ({
    worker,
    times: [] as number[],
    cpuTimes: [] as number[],
    peak: 0,
  }));
  for (let round = -1; round < rounds; round++)
    for (const side of all) {
      // Idle threads of either engine spin for a while after their last step; a pause keeps them from the other's turn.
      await sleep(250);
      const { seconds, cpuSeconds, peakRssBytes } = await side.worker.steps(each);
      if (seconds === undefined || cpuSeconds === undefined) throw new EngineError("a worker gave no times");
      side.peak = peakRssBytes;
      if (round < 0) continue;
      side.times.push(...seconds);
      side.cpuTimes.push(...cpuSeconds);
    }
  return all.map(({ times, cpuTimes, peak }) => ({
    milliseconds: median(times) * 1000,
    cpuMilliseconds: median(cpuTimes) * 1000,
    peakMb: Math.round(peak / 1e6),
  }));
}

/** What takes turns: our precisions, and PyTorch's where there is a Python. */
export function sidesOf(python: string | undefined): readonly string[] {
  return ["Accrete fp32", "Accrete int8", ...(python === undefined ? [] : ["PyTorch fp32", "PyTorch bf16"])];
}

/** What was measured of each side, and what stands before it in a table. */
export interface Row {
  readonly what: readonly string[];
  readonly measured: Readonly<Record<string, Measured>>;
}

/**
 * Starts a worker a side, lets them take turns, and ends them.
 * @param start starts a side's worker by its name and precision
 */
export async function compareSides(
  sides: readonly string[],
  what: readonly string[],
  turns: { readonly rounds: number; readonly each: number },
  start: (ours: boolean, precision: string) => Worker,
): Promise<Row> {
  const workers: Worker[] = [];
  for (const side of sides) {
    const [who, precision = "fp32"] = side.split(" ");
    const worker = start(who === "Accrete", precision);
    await worker.read();
    workers.push(worker);
  }
  const measured = await takeTurns(workers, turns.rounds, turns.each);
  for (const worker of workers) worker.quit();
  return { what, measured: Object.fromEntries(measured.map((own, i) => [sides[i] ?? "", own])) };
}

/**
 * A table of rows: times, how many times as fast ours are as each of theirs, and peaks.
 * @param names of what stands before the times
 * @param time what to print of a side
 */
export function sideTable(
  sides: readonly string[],
  names: readonly string[],
  rows: readonly Row[],
  time: (side: Measured, row: Row) => string = ({ milliseconds }) => `${milliseconds.toFixed(1)} ms`,
): string {
  const theirs = sides.filter((side) => side.startsWith("PyTorch"));
  const pairs = theirs.flatMap((other) =>
    ["Accrete fp32", "Accrete int8"].map((ours) => [ours, other] as const),
  );
  const compared = pairs.length > 0 ? pairs : [["Accrete int8", "Accrete fp32"] as const];
  const of = (row: Row, side: string) => row.measured[side]?.milliseconds ?? Number.NaN;
  const head = [
    ...names,
    ...sides,
    ...compared.map(([ours, other]) => `${ours} : ${other}`),
    ...sides.map((side) => `peak MB, ${side}`),
  ];
  const lines = rows.map((row) => [
    ...row.what,
    ...sides.map((side) => (row.measured[side] ? time(row.measured[side], row) : "")),
    ...compared.map(([ours, other]) => `${(of(row, other) / of(row, ours)).toFixed(2)}×`),
    ...sides.map((side) => String(row.measured[side]?.peakMb ?? "")),
  ]);
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}
