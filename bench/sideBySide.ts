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
 * Two workers take turns of a few steps; the first round warms up and does not count.
 * @param each steps a turn
 */
export async function takeTurns(
  workers: readonly [Worker, Worker],
  rounds: number,
  each: number,
): Promise<readonly [Measured, Measured]> {
  const times: readonly [number[], number[]] = [[], []];
  const cpuTimes: readonly [number[], number[]] = [[], []];
  const peaks: [number, number] = [0, 0];
  for (let round = -1; round < rounds; round++)
    for (const side of [0, 1] as const) {
      // Idle threads of either engine spin for a while after their last step; a pause keeps them from the other's turn.
      await sleep(250);
      const { seconds, cpuSeconds, peakRssBytes } = await workers[side].steps(each);
      if (seconds === undefined || cpuSeconds === undefined) throw new EngineError("a worker gave no times");
      peaks[side] = peakRssBytes;
      if (round < 0) continue;
      times[side].push(...seconds);
      cpuTimes[side].push(...cpuSeconds);
    }
  const measured = (side: 0 | 1): Measured => ({
    milliseconds: median(times[side]) * 1000,
    cpuMilliseconds: median(cpuTimes[side]) * 1000,
    peakMb: Math.round(peaks[side] / 1e6),
  });
  return [measured(0), measured(1)];
}
