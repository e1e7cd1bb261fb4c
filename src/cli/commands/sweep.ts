import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { openArtefacts } from "../../artefacts/open.ts";
import { ConfigError, StoreError } from "../../core/errors.ts";
import { acquireLock } from "../../io/lock.ts";
import { cancelSweep, conductSweep, isCancelled } from "../../sweep/conduct.ts";
import { type Executor, type ExecutorEvent, localExecutor } from "../../sweep/executor.ts";
import type { Rung } from "../../sweep/halving.ts";
import { planSweep, type SweepPlan } from "../../sweep/plan.ts";
import { openConnection } from "../../sweep/queue/connection.ts";
import { queueExecutor } from "../../sweep/queue/queueExecutor.ts";
import { readWorkers } from "../../sweep/queue/registry.ts";
import { parseShard, type Shard, shardOf } from "../../sweep/shard.ts";
import { readStatus } from "../../sweep/status.ts";
import { readSweep } from "../../sweep/sweepFile.ts";
import { beginSweep, identityOf, readSweepRecord, requireSweepRecord } from "../../sweep/sweepFolder.ts";
import { StoppedError, UsageError } from "../terminal/failure.ts";
import { formatPercent } from "../terminal/format.ts";
import { quote, shortPath } from "../terminal/shell.ts";
import { stoppable } from "../terminal/stoppable.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { printPlan, printResults, printStatus, watchSweep, withWorkers } from "./sweepReport.ts";

export interface SweepFlags {
  readonly jobs?: number;
  readonly resume?: boolean;
  readonly shard?: string;
  readonly queue?: string;
  readonly artefacts?: string;
  readonly split?: boolean;
  readonly plan?: boolean;
  readonly status?: boolean;
  readonly watch?: boolean;
  readonly cancel?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** The folder of a sweep, given as that or as the file that it was begun with. */
async function folderOf(path: string): Promise<string> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? path : (await readSweep(path)).out;
}

/** What only looks at a sweep, or tells it to stop. @returns whether it was asked for */
async function look(path: string, flags: SweepFlags, terminal: Terminal): Promise<boolean> {
  const { status = false, watch = false, cancel = false } = flags;
  if ([status, watch, cancel].filter(Boolean).length > 1)
    throw new UsageError("--status, --watch and --cancel exclude each other");
  if (!status && !watch && !cancel) return false;
  const out = await folderOf(path);
  const record = await requireSweepRecord(out);
  if (cancel) {
    await cancelSweep(out);
    terminal.err(`${record.name}: its trials stop between two steps; --resume goes on\n`);
    return true;
  }
  await using queue = flags.queue === undefined ? undefined : await openConnection(flags.queue);
  const read = async () => {
    const own = await readStatus(out, record);
    return queue === undefined ? own : withWorkers(own, await readWorkers(queue.redis));
  };
  if (watch) await watchSweep(read, terminal);
  else printStatus(await read(), flags, terminal);
  return true;
}

function describeEvent(event: ExecutorEvent): string | undefined {
  switch (event.type) {
    case "begun":
      return `${event.trial}: begun${event.worker === "here" ? "" : ` by ${event.worker}`}${event.attempt > 1 ? `, try ${event.attempt}` : ""}`;
    case "done":
      return `${event.trial}: done`;
    case "failed":
      return `${event.trial}: failed${event.last ? ", and is given up" : "; it is tried again"}`;
  }
}

function describeRung({ after, figures, goesOn }: Rung): string {
  const all = Object.entries(figures).map(
    ([name, figure]) => `${name} ${figure === null ? "–" : formatPercent(figure)}`,
  );
  return `validation after ${after} tasks: ${all.join(", ")}; going on: ${goesOn.join(", ")}`;
}

/** Stops what it does when the sweep is cancelled from elsewhere. */
async function cancellable(out: string, outer: AbortSignal, work: (signal: AbortSignal) => Promise<void>) {
  const cancelled = new AbortController();
  const timer = setInterval(() => {
    if (isCancelled(out)) cancelled.abort();
  }, 500);
  try {
    await work(AbortSignal.any([outer, cancelled.signal]));
  } catch (error) {
    if (!cancelled.signal.aborted) throw error;
    throw new StoppedError(`${out}: the sweep was cancelled`, "Go on with it: accrete sweep … --resume");
  } finally {
    clearInterval(timer);
  }
}

interface Conducting {
  readonly plan: SweepPlan;
  readonly shard: Shard | undefined;
  readonly executor: Executor;
  readonly say: (line: string) => void;
}

interface ChosenExecutor extends AsyncDisposable {
  readonly executor: Executor;
}

/** Child processes here, or workers behind a queue. */
async function chooseExecutor(plan: SweepPlan, flags: SweepFlags): Promise<ChosenExecutor> {
  const { jobs = 1, queue, artefacts, shard, split = false } = flags;
  if (queue === undefined) {
    if (split) throw new UsageError("--split goes with --queue");
    if (artefacts !== undefined) throw new UsageError("--artefacts goes with --queue");
    return { executor: localExecutor(jobs), [Symbol.asyncDispose]: async () => {} };
  }
  if (artefacts === undefined)
    throw new UsageError("--queue needs --artefacts, where data, backbones and runs are shared", {
      hint: "A folder that every worker sees, or s3://bucket/prefix.",
    });
  if (shard !== undefined || flags.jobs !== undefined)
    throw new UsageError("--queue excludes --jobs and --shard: workers take the trials", {
      hint: "Start workers: accrete worker --queue … --artefacts … --concurrency 2",
    });
  const connection = await openConnection(queue);
  try {
    const store = await openArtefacts(artefacts);
    const identity = identityOf(plan);
    const executor = queueExecutor(connection, { store, sweep: plan.name, plan: identity, split });
    return { executor, [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose]() };
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

async function conduct({ plan, shard, executor, say }: Conducting, resumeCommand: string): Promise<void> {
  const { out } = plan;
  const own = shard === undefined ? out : join(out, "shards", `${shard.index}-of-${shard.count}`);
  await mkdir(own, { recursive: true });
  await using _lock = await acquireLock(own);
  const work = (signal: AbortSignal) =>
    cancellable(out, signal, async (stop) => {
      const onEvent = (event: ExecutorEvent) => say(describeEvent(event) ?? "");
      await conductSweep(plan, executor, {
        onEvent,
        onRung: (rung) => say(describeRung(rung)),
        signal: stop,
      });
    });
  await stoppable(
    "sweep",
    work,
    "stopped; every task learned so far is saved",
    `Go on with: ${resumeCommand}`,
  );
}

/** @throws StoreError (exit 1) naming the trials that were given up, with the end of their logs */
async function refuseFailures(out: string, shown: ReadonlySet<string>): Promise<void> {
  const { trials } = await readStatus(out, await requireSweepRecord(out));
  const failed = trials.filter(({ trial, failure }) => failure !== undefined && shown.has(trial));
  if (failed.length === 0) return;
  const logs = failed.map(({ trial, failure }) => {
    const lines = (failure?.log ?? "").trim().split("\n").slice(-3);
    return `${trial}, after ${failure?.tries} tries: ${lines.join(" / ") || "it wrote nothing"}`;
  });
  throw new StoreError(`${failed.length} of ${shown.size} trials failed:\n  ${logs.join("\n  ")}`, {
    exitCode: 1,
    hint: `Whole logs: ${join(shortPath(out), "logs")}. --resume tries them again.`,
  });
}

function resumeCommand(path: string, { jobs, shard, queue, artefacts, split }: SweepFlags): string {
  const words = ["accrete sweep", quote(path)];
  if (jobs !== undefined) words.push(`--jobs ${jobs}`);
  if (shard !== undefined) words.push(`--shard ${shard}`);
  // A password is not shown.
  if (queue !== undefined) words.push(`--queue ${quote(queue.replace(/\/\/.*@/, "//…@"))}`);
  if (artefacts !== undefined) words.push(`--artefacts ${quote(artefacts)}`);
  if (split === true) words.push("--split");
  return [...words, "--resume"].join(" ");
}

export async function sweepCommand(path: string, flags: SweepFlags, terminal: Terminal): Promise<void> {
  if (await look(path, flags, terminal)) return;
  const { jobs = 1, quiet = false } = flags;
  const shard = flags.shard === undefined ? undefined : parseShard(flags.shard);
  const whole = await planSweep(await readSweep(path));
  const plan = shard === undefined ? whole : shardOf(whole, shard);
  if (plan.trials.length === 0) throw new ConfigError(`${path}: there are fewer trials than shards`);
  if (flags.plan === true) return await printPlan(plan, jobs, terminal);
  await using chosen = await chooseExecutor(whole, flags);
  const there = (await readSweepRecord(plan.out)) !== undefined;
  // A shard begins what another one may have begun already.
  const begin = () => beginSweep(whole, { resume: flags.resume === true || (there && shard !== undefined) });
  // What is refused is refused at once; a backbone or data that cannot be read leave no folder behind.
  if (there) await begin();
  if (!quiet) await printPlan(plan, jobs, terminal);
  if (!there) await begin();
  const say = (line: string) => {
    if (!quiet) terminal.err(`${line}\n`);
  };
  await conduct({ plan, shard, executor: chosen.executor, say }, resumeCommand(path, flags));
  const shown = new Set(plan.trials.map(({ name }) => name));
  await refuseFailures(plan.out, shown);
  if (shard === undefined) await printResults(plan.out, flags, terminal);
}
