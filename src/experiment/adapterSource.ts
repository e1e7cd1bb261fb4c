/** A finished run whose adapters another run takes in place of training its own. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { differingKeys, loadConfig, pathKeys, type ResolvedConfig } from "../config/load.ts";
import { findTask } from "../continual/answers.ts";
import { isEvaluation } from "../continual/metrics/runMetrics.ts";
import type { Evaluation } from "../continual/taskTypes/taskType.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import type { RunEvent } from "../core/record.ts";
import { OUTSIDE } from "../data/files/tags.ts";
import type { LearnTaskOptions } from "../model/continualModel.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";
import { configFile } from "../model/settings/settings.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import { parseEvents } from "../report/record/record.ts";
import type { Manifest, ManifestHeader } from "../workspace/manifest.ts";
import { damageHintOf, readStore, verifiedTaskFolder } from "../workspace/reading.ts";
import { readPredictions } from "./predictions.ts";
import type { StreamTask } from "./stream.ts";

/** What may differ: who chooses among adapters; the threads; and places, whose content is compared by hash. */
const free = ["router", "method.selector", "threads", "device", "backbone", "backboneRevision", ...pathKeys];

function isFree(key: string): boolean {
  return free.some((name) => key === name || key.startsWith(`${name}.`));
}

function refuseJoint(config: ResolvedConfig, whose: string): void {
  const { method } = config;
  if (method.adapter !== "lora" || method.selector?.kind !== "newlora") return;
  throw new ConfigError(`${whose} trains adapters together with the network of selector newlora`, {
    hint: "Take adapters that were trained alone, with no selector or newlora-frozen; or train anew.",
  });
}

type LearnedEvent = Extract<RunEvent, { readonly type: "task-learned" }>;

/** A task as the other run left it. */
export interface AdoptedTask {
  readonly adapter: NonNullable<LearnTaskOptions["adapter"]>;
  readonly learned: Pick<LearnedEvent, "truncatedTexts" | "stoppedEarly">;
}

/** Reads a run's adapters for another run. */
export class AdapterSource {
  readonly path: string;
  readonly #manifest: Manifest;
  readonly #learned: ReadonlyMap<string, LearnedEvent>;
  readonly #evaluations: ReadonlyMap<number, Evaluation>;

  private constructor(path: string, manifest: Manifest, events: readonly RunEvent[]) {
    this.path = path;
    this.#manifest = manifest;
    this.#learned = new Map(
      events.flatMap((event) => (event.type === "task-learned" ? [[event.name, event] as const] : [])),
    );
    this.#evaluations = new Map(
      events.flatMap((event) => (isEvaluation(event) ? [[event.task, event] as const] : [])),
    );
  }

  /**
   * @throws ConfigError if either run trains its adapters with a selection network, or naming the settings in which
   *   they differ beyond router, selector, threads and places
   * @throws StoreError if there is no run, or it is not finished
   */
  static async open(folder: string, config: ResolvedConfig): Promise<AdapterSource> {
    refuseJoint(config, "this run");
    const root = resolve(folder);
    const manifest = await readStore(root);
    const { config: theirs } = await loadConfig(join(root, configFile));
    refuseJoint(theirs, folder);
    const keys = differingKeys(theirs, config).filter((key) => !isFree(key));
    if (keys.length > 0)
      throw new ConfigError(`${folder}: its adapters were learned otherwise; different: ${keys.join(", ")}`, {
        hint: `Its settings lie in ${join(folder, configFile)}. Only router, method.selector, threads and out may differ.`,
      });
    const path = join(root, "events.jsonl");
    const text = await readFile(path, "utf8").catch((cause: unknown) => {
      throw new StoreError(`${path}: cannot be read`, { cause });
    });
    const events = parseEvents(text);
    if (!events.some(({ type }) => type === "run-finished"))
      throw new StoreError(`${folder}: the run is not finished, so it has not every adapter yet`, {
        hint: "Finish it with --resume first.",
      });
    return new AdapterSource(root, manifest, events);
  }

  /**
   * Whether its adapters are those of this backbone, data and tasks.
   * @throws StoreError naming what differs
   */
  check(
    header: Pick<ManifestHeader, "backbone" | "dataHash" | "feature">,
    tasks: readonly StreamTask[],
  ): void {
    const describe = ({
      backbone,
      dataHash,
      feature,
    }: Pick<Manifest, "backbone" | "dataHash" | "feature">) => [
      ["backbone", backbone.hash],
      ["tokenizer", backbone.tokenizerHash],
      ["data", dataHash],
      ["pooling", JSON.stringify(feature)],
    ];
    const named = (all: readonly { readonly name: string; readonly labels: readonly string[] }[]) =>
      // The head of a word run's first task has O besides its task's own tags.
      JSON.stringify(all.map(({ name, labels }) => [name, labels.filter((label) => label !== OUTSIDE)]));
    const manifest = this.#manifest;
    const theirs = new Map([
      ...describe(manifest).map(([what, value]) => [what, value] as const),
      ["tasks", named(manifest.tasks)],
    ]);
    const ours = [...describe(header), ["tasks", named(tasks)]] as const;
    const different = ours.flatMap(([what = "", value]) => (theirs.get(what) === value ? [] : [what]));
    if (different.length === 0) return;
    throw new StoreError(`${this.path}: its adapters are of other ${different.join(" and ")}`, {
      hint: "Take the adapters of a run on the same data and backbone, or train anew.",
    });
  }

  /** What was measured after learning a task, of its adapter and those before. */
  evaluationOf(task: number): Evaluation | undefined {
    return this.#evaluations.get(task);
  }

  /** What exact protocols answered when so many tasks were learned, as the other run recorded it. */
  async exactPredictions(learned: number): Promise<readonly RecordedPrediction[]> {
    const all = await readPredictions(this.path);
    return all.filter((line) => line.protocol !== "routed" && line.learned === learned);
  }

  /** @throws CheckpointError naming the file that is missing or damaged */
  async task(name: string): Promise<AdoptedTask> {
    const entry = findTask(this.#manifest.tasks, name);
    const folder = await verifiedTaskFolder(this.path, entry, damageHintOf(this.#manifest));
    const event = this.#learned.get(name);
    return {
      adapter: { saved: await readPeftFolder(folder), where: folder },
      learned: {
        truncatedTexts: event?.truncatedTexts ?? 0,
        stoppedEarly: event?.stoppedEarly ?? false,
      },
    };
  }
}
