/**
 * What a change costs a store's folder: `npx tsx bench/changes.ts [--small 10] [--large 1200] [--changes 1000]`.
 * No backbone and no router: states of few small rows, so that manifests and folders are what is measured. Printed are the
 * time of a change (median and minimum of forty of each kind, small and large stores in turn), and what a store takes on the
 * disk after so many changes, beside what a purge leaves of it.
 */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { KeptContribution } from "../src/continual/statistics/statistics.ts";
import { keep } from "../src/continual/statistics/statistics.ts";
import { joinRows } from "../src/model/classes.ts";
import { type ModelState, type TaskState, withTask } from "../src/model/state.ts";
import { defaultKeepVersions } from "../src/store/upkeep.ts";
import { sizeOfFolder } from "../src/workspace/listing.ts";
import { readState, readStore } from "../src/workspace/reading.ts";
import { Workspace } from "../src/workspace/workspace.ts";

const { values: flags } = parseArgs({
  options: {
    small: { type: "string", default: "10" },
    large: { type: "string", default: "1200" },
    changes: { type: "string", default: "1000" },
  },
});

const width = 384;
const constants = { backbone: "b".repeat(64), layers: [6], width, seed: 1 };
const zeros = "0".repeat(64);
const model: Parameters<typeof readState>[2] = {
  restore: (name, { labels, adapter, head }) => ({
    name,
    labels,
    adapter: adapter.tensors,
    head: head?.tensors ?? new Map(),
  }),
  feature: { pooling: "mean", normalize: true },
  get loaded(): never {
    throw new TypeError("no backbone was loaded");
  },
};

/** Five rows of a class, another five for every number. */
function rowsOf(label: string, number: number): KeptContribution {
  const values = new Int16Array(5 * width);
  for (let i = 0; i < values.length; i++) values[i] = ((number * 7919 + i * 104729) % 2001) - 1000;
  return keep({ label, rows: { rows: 5, width, values } });
}

function taskOf(name: string, number: number): TaskState {
  return { name, labels: [name], rows: { constants, contributions: [rowsOf(name, number)] } };
}

function grown(task: TaskState, label: string, number: number): TaskState {
  const labels = [...new Set([...task.labels, label])];
  const rows = { constants, contributions: [rowsOf(label, number)] };
  return { ...task, labels, rows: task.rows === undefined ? rows : joinRows(task.rows, rows) };
}

async function begin(folder: string, tasks: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.resolved.yaml"), "backbone: none\n");
  await using workspace = await Workspace.open(folder);
  const backbone = { source: "none", hash: zeros, tokenizerHash: zeros, architecture: "bert" };
  const versions = { accrete: "0", node: process.version, engine: "none" };
  const feature = { pooling: "mean", normalize: true } as const;
  await workspace.begin({ versions, backbone, configHash: zeros, seed: 1, feature }, "begun");
  const all = Array.from({ length: tasks }, (_, i) => taskOf(`task ${i}`, i));
  if (tasks > 0) await workspace.commit({ tasks: all }, "learned all");
}

type Work = (state: ModelState, number: number) => ModelState;

const kinds: Readonly<Record<string, Work>> = {
  "a task more": (state, number) => ({ tasks: [...state.tasks, taskOf(`new ${number}`, number)] }),
  "rows into a task": (state, number) => {
    const task = state.tasks[number % state.tasks.length];
    return task === undefined ? state : withTask(state, grown(task, task.name, 10_000 + number));
  },
  "a task less": ({ tasks }, number) => ({ tasks: tasks.toSpliced((number * 31) % tasks.length, 1) }),
};

/** A store as a process has it that makes one change after another. */
class Changing {
  readonly folder: string;
  state: ModelState = { tasks: [] };

  constructor(folder: string) {
    this.folder = folder;
  }

  async open(): Promise<this> {
    this.state = await readState(this.folder, await readStore(this.folder), model);
    return this;
  }

  /** @returns milliseconds, from the lock to the clean-up */
  async change(work: Work, number: number): Promise<number> {
    const start = performance.now();
    await using workspace = await Workspace.open(this.folder, { elsewhere: false });
    await readStore(this.folder);
    this.state = work(this.state, number);
    await workspace.commit(this.state, "changed");
    await workspace.expire(defaultKeepVersions);
    return performance.now() - start;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

async function timeChanges(folder: string): Promise<void> {
  const sizes = [Number(flags.small), Number(flags.large)];
  for (const [kind, work] of Object.entries(kinds)) {
    const stores: Changing[] = [];
    for (const size of sizes) {
      const at = join(folder, `${kind} ${size}`);
      // Room for what is taken away.
      await begin(at, kind === "a task less" ? size + 70 : size);
      stores.push(await new Changing(at).open());
    }
    const times = stores.map((): number[] => []);
    for (let n = 0; n < 60; n++)
      for (const [i, store] of stores.entries()) {
        const ms = await store.change(work, n);
        // The first versions are not yet cleaned up after.
        if (n >= 20) times[i]?.push(ms);
      }
    const medians = times.map(median);
    const shown = sizes.map(
      (size, i) =>
        `${size} tasks ${medians[i]?.toFixed(1)} ms (minimum ${Math.min(...(times[i] ?? [])).toFixed(1)})`,
    );
    console.log(`${kind}: ${shown.join(", ")}; ratio ${((medians[1] ?? 0) / (medians[0] ?? 1)).toFixed(2)}`);
  }
}

const growths: Readonly<Record<string, Work>> = {
  "a task each": (state, number) => ({ tasks: [...state.tasks, taskOf(`class ${number}`, number)] }),
  "all into one task": ({ tasks: [task] }, number) => ({
    tasks: [grown(task ?? taskOf("all", 0), `class ${number}`, number)],
  }),
  "into ten tasks in turn": (state, number) => {
    const name = `task ${number % 10}`;
    const task = state.tasks.find((each) => each.name === name) ?? taskOf(name, number);
    return withTask(state, grown(task, `class ${number}`, number));
  },
};

async function measureDisk(folder: string): Promise<void> {
  const changes = Number(flags.changes);
  for (const [kind, work] of Object.entries(growths)) {
    const at = join(folder, kind);
    await begin(at, 0);
    const store = await new Changing(at).open();
    let most = 0;
    for (let n = 1; n <= changes; n++) {
      await store.change(work, n);
      if (n % 50 === 0 && n >= changes / 2)
        most = Math.max(most, (await sizeOfFolder(at)) / (await purged(at)));
    }
    const [taken, content] = [await sizeOfFolder(at), await purged(at)];

    console.log(
      `${changes} changes, ${kind}: ${(taken / 1e6).toFixed(2)} MB, content ${(content / 1e6).toFixed(2)} MB, ratio ${(taken / content).toFixed(2)} (at most ${most.toFixed(2)} on the way)`,
    );
  }
}

/** Bytes that a purge would leave. */
async function purged(folder: string): Promise<number> {
  const copy = `${folder} purged`;
  await cp(folder, copy, { recursive: true });
  {
    await using workspace = await Workspace.open(copy, { elsewhere: false });
    await workspace.purge();
  }
  const bytes = await sizeOfFolder(copy);
  await rm(copy, { recursive: true });
  return bytes;
}

const folder = await mkdtemp(join(tmpdir(), "accrete-bench-changes-"));
try {
  await timeChanges(folder);
  await measureDisk(folder);
} finally {
  await rm(folder, { recursive: true });
}
