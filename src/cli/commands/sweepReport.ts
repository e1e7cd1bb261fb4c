/** What is printed of a sweep: its plan, where its trials stand, and what they reached. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packageVersion } from "../../core/packageInfo.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { compareRuns } from "../../report/comparison.ts";
import { renderComparisonPage } from "../../report/comparisonPage.ts";
import { estimateSweep } from "../../sweep/estimate.ts";
import type { SweepPlan } from "../../sweep/plan.ts";
import type { WorkerStatus } from "../../sweep/queue/registry.ts";
import { readResults } from "../../sweep/results.ts";
import { countStates, type SweepStatus, type TrialStatus, trialStates } from "../../sweep/status.ts";
import { requireSweepRecord } from "../../sweep/sweepFolder.ts";
import { formatBytes, formatDuration, formatTable } from "../terminal/format.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { formatComparison } from "./compare.ts";

/** To standard error: a plan is no result. */
export async function printPlan(plan: SweepPlan, jobs: number, terminal: Terminal): Promise<void> {
  const { name, out, configurations, seeds, trials, halving, notes } = plan;
  terminal.err(
    `sweep ${name}: ${configurations.length} configurations, seeds ${seeds.join(", ")}: ${trials.length} trials, out ${shortPath(out)}\n`,
  );
  for (const each of configurations) terminal.err(`  ${each.name}  ${each.label}\n`);
  for (const note of notes) terminal.err(`! ${note}\n`);
  if (halving !== undefined)
    terminal.err(
      `after ${halving.after.join(", ")} tasks the best ${Math.round(100 * halving.keep)} % by validation go on\n`,
    );
  if (jobs > 1 && trials.some(({ config }) => config.threads === undefined))
    terminal.err(
      `! ${jobs} trials at once, and each takes every core: set threads in the base configuration\n`,
    );
  using interrupt = new Interrupt();
  const estimate = await estimateSweep(plan, interrupt.signal);
  if (estimate === undefined) return;
  const { seconds, bytes } = estimate;
  const most = halving === undefined ? "" : " at most";
  const shared = jobs > 1 ? `, ${formatDuration(seconds / jobs)} where ${jobs} at once are no slower` : "";
  terminal.err(
    `about ${formatDuration(seconds)} of computing${shared} and ${formatBytes(bytes)} on the disk${most}\n`,
  );
}

function cellsOf({
  trial,
  label,
  state,
  evaluated,
  tasks,
  examplesPerSecond,
  secondsLeft,
}: TrialStatus): string[] {
  const running = state === "running";
  return [
    trial,
    label,
    state,
    tasks === undefined ? "" : `${evaluated}/${tasks}`,
    running && examplesPerSecond !== undefined ? `${examplesPerSecond.toFixed(0)}` : "",
    running && secondsLeft !== undefined ? formatDuration(secondsLeft) : "",
  ];
}

/** Where trials stand, and who works on a queue. */
export interface ShownStatus extends SweepStatus {
  readonly workers?: readonly WorkerStatus[] | undefined;
}

/** The same, with what workers elsewhere are at, whose folders are not here yet. */
export function withWorkers(status: SweepStatus, workers: readonly WorkerStatus[]): ShownStatus {
  const work = workers.flatMap((worker) => (worker.dead ? [] : worker.work));
  const own = new Map(
    work.flatMap((each) => (each.sweep === status.name ? [[each.trial, each] as const] : [])),
  );
  const trials = status.trials.map((trial): TrialStatus => {
    // With --split a worker is at a task of it.
    const [found] = [...own.keys()].filter(
      (name) => name === trial.trial || name.startsWith(`${trial.trial} `),
    );
    const at = found === undefined ? undefined : own.get(found);
    if (at === undefined || trial.state === "finished") return trial;
    const { evaluated, tasks, examplesPerSecond, secondsLeft: left } = at;
    return { ...trial, state: "running", evaluated, tasks, examplesPerSecond, secondsLeft: left };
  });
  return { ...status, trials, counts: countStates(trials), workers };
}

function workerCells({
  name,
  version,
  dead,
  waits,
  work,
  concurrency,
  done,
  failed,
}: WorkerStatus): string[] {
  const state = waits ?? (work.length === 0 ? "idle" : "at work");
  const rate = work.reduce((sum, { examplesPerSecond = 0 }) => sum + examplesPerSecond, 0);
  const what = work.map(({ trial, evaluated, tasks }) => `${trial} (${evaluated}/${tasks ?? "?"})`);
  return [
    name,
    version,
    dead ? "dead" : state,
    `${work.length}/${concurrency}`,
    dead ? "" : what.join(", "),
    dead || rate === 0 ? "" : rate.toFixed(0),
    String(done),
    String(failed),
  ];
}

const workerHeads = ["worker", "version", "state", "jobs", "at", "examples/s", "done", "failed"];

function formatWorkers(workers: readonly WorkerStatus[] | undefined): string {
  if (workers === undefined) return "";
  if (workers.length === 0) return "no worker is there: accrete worker --queue … --artefacts …\n";
  return formatTable([workerHeads, ...workers.map(workerCells)], [5, 6, 7]);
}

/** The whole sweep's, at the pace of what runs now; undefined where nothing says one. */
function secondsLeft({ trials }: ShownStatus): number | undefined {
  const running = trials.filter(({ state }) => state === "running");
  const known = running.flatMap((each) => each.secondsLeft ?? []);
  const waiting = trials.filter(({ state }) => state === "waiting" || state === "paused").length;
  if (known.length === 0) return undefined;
  const mean = known.reduce((sum, left) => sum + left, 0) / known.length;
  // Of what runs about half is left, on average; as many as run now run at once.
  return mean * (1 + (2 * waiting) / known.length);
}

function formatStatus(status: ShownStatus): string {
  const { name, cancelled, counts, trials, workers } = status;
  const left = secondsLeft(status);
  const heads = ["trial", "settings", "state", "tasks", "examples/s", "left"];
  const known = trialStates.flatMap((state) => (counts[state] === 0 ? [] : [`${counts[state]} ${state}`]));
  const failures = trials.flatMap(({ trial, failure }) =>
    failure === undefined ? [] : [`! ${trial}: ${failure.log.trim().split("\n").at(-1) ?? ""}\n`],
  );
  return (
    `${name}: ${known.join(", ")}${cancelled ? "; cancelled" : ""}${left === undefined ? "" : `; about ${formatDuration(left)} left`}\n` +
    formatTable([heads, ...trials.map(cellsOf)], [3, 4, 5]) +
    formatWorkers(workers) +
    failures.join("")
  );
}

export function printStatus(
  status: ShownStatus,
  { json = false }: { readonly json?: boolean },
  terminal: Terminal,
): void {
  terminal.out(json ? `${JSON.stringify(status)}\n` : formatStatus(status));
}

const watchMs = 2000;

/** Prints where the trials stand whenever that changes, until nothing is left to do or Ctrl-C. */
export async function watchSweep(read: () => Promise<ShownStatus>, terminal: Terminal): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  let before = "";
  while (!signal.aborted) {
    const status = await read();
    const text = formatStatus(status);
    if (text !== before) terminal.out(before === "" ? text : `\n${text}`);
    before = text;
    const { running, paused, waiting } = status.counts;
    if (status.cancelled || running + paused + waiting === 0) return;
    await sleep(watchMs, undefined, { signal }).catch(() => {});
  }
}

/** The table, and the page beside the trials. */
export async function printResults(
  out: string,
  { json = false }: { readonly json?: boolean },
  terminal: Terminal,
): Promise<void> {
  const { runs, notes } = await readResults(out, await requireSweepRecord(out));
  const compared = compareRuns(runs);
  const comparison = { ...compared, notes: [...notes, ...compared.notes] };
  const page = join(out, "comparison.html");
  await writeFileAtomic(page, renderComparisonPage(comparison, packageVersion()));
  terminal.out(json ? `${JSON.stringify(comparison)}\n` : formatComparison(comparison));
  terminal.err(`Page: ${shortPath(page)}\n`);
}
