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
