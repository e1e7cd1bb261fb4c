import { join } from "node:path";
import { AdaptedBackbone, type LearnedTask, type Logits, rowOf } from "../continual/adaptedBackbone.ts";
import { chooseExactly } from "../continual/evaluation.ts";
import { CheckpointError, ConfigError, StoreError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { Example } from "../data/types.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { loadBackbone } from "./backbone.ts";
import { loadConfig } from "./config.ts";
import { configFile, RunFolder } from "./runFolder.ts";
import { fromSavedAdapter } from "./savedTask.ts";
import type { OpenRunOptions, Prediction, PredictOptions, Predictor, ScoredLabel } from "./types.ts";

const DEFAULT_TOP = 5;

/** eˣ / Σ eˣ in float64. */
function softmax(logits: readonly number[]): number[] {
  const peak = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - peak));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

interface Slot {
  readonly task: string;
  readonly label: string;
}

/** The slots of some tasks' heads, side by side in class order. */
function slotsOf(tasks: readonly LearnedTask[]): readonly Slot[] {
  return tasks.flatMap(({ name, labels }) => labels.map((label) => ({ task: name, label })));
}

/** The best labels, each once: a label that several tasks have counts with its best slot. */
function rank(slots: readonly Slot[], scores: readonly number[], top: number): ScoredLabel[] {
  const order = slots.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const ranked = new Map<string, number>();
  for (const i of order) {
    const label = slots[i]?.label ?? "";
    if (!ranked.has(label)) ranked.set(label, scores[i] ?? 0);
    if (ranked.size === top) break;
  }
  return [...ranked].map(([label, score]) => ({ label, score }));
}

class RunPredictor implements Predictor {
  readonly tasks: readonly LearnedTask[];
  private readonly model: AdaptedBackbone;

  constructor(tasks: readonly LearnedTask[], model: AdaptedBackbone) {
    this.tasks = tasks;
    this.model = model;
  }

  async predict(examples: readonly Example[], options: PredictOptions = {}): Promise<Prediction[]> {
    const { task, top = DEFAULT_TOP, signal } = options;
    if (!Number.isInteger(top) || top < 1)
      throw new ConfigError(`top: expected a whole number from 1, got ${top}`);
    const inPlay = task === undefined ? this.tasks : [this.task(task)];
    const { encodings } = this.model.encode(examples);
    const logits: Logits[] = [];
    for (const one of inPlay) logits.push(await this.model.logits(one, encodings, signal));
    const slots = slotsOf(inPlay);
    return examples.map(({ text }, i) => {
      const rows = logits.map((perTask) => rowOf(perTask, i));
      const choice = chooseExactly(rows);
      const chosen = inPlay[choice.task];
      const label = chosen?.labels[choice.slot];
      if (chosen === undefined || label === undefined) throw new StoreError("no task has been learned yet");
      const ranked = rank(slots, softmax(rows.flatMap((row) => [...row])), top);
      return {
        text,
        label,
        score: ranked[0]?.score ?? 0,
        task: chosen.name,
        top: ranked,
        passes: inPlay.length,
      };
    });
  }

  private task(name: string): LearnedTask {
    const found = this.tasks.find((task) => task.name === name);
    if (found !== undefined) return found;
    const names = this.tasks.map((task) => task.name);
    const near = nearest(name, names);
    throw new ConfigError(
      `no task is called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
      {
        hint: `tasks: ${names.join(", ")}`,
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}

/**
 * Opens a run or store folder for prediction. The folder and the backbone that it names are enough; the backbone
 * is checked by its hash, and may lie elsewhere now.
 * @throws StoreError if the folder is no run, or no task was learned yet
 * @throws CheckpointError if the backbone is another one, or an adapter is damaged
 */
export async function openRun(folder: string, options: OpenRunOptions = {}): Promise<Predictor> {
  const run = await RunFolder.open(folder);
  const { manifest, path } = run;
  if (manifest.tasks.length === 0)
    throw new StoreError(`${folder}: no task has been learned yet`, { hint: "finish the run with --resume" });
  const { source, revision, hash } = manifest.backbone;
  const place = options.backbone ?? source;
  const loaded = await loadBackbone(
    place,
    options.backbone === undefined ? revision : undefined,
    options.signal,
  );
  if (loaded.folder.hash !== hash)
    throw new CheckpointError(
      `${place}: is not the backbone of this run: hash ${loaded.folder.hash}, the run names ${hash}`,
      {
        hint: "give the folder of the backbone it was trained on with --backbone",
      },
    );
  const tasks: LearnedTask[] = [];
  let structure: AdaptedBackbone["structure"] | undefined;
  for (const entry of manifest.tasks) {
    const adapter = await run.adapterFolder(entry);
    const restored = fromSavedAdapter(entry.name, await readPeftFolder(adapter), loaded, adapter);
    tasks.push(restored.task);
    structure ??= restored.structure;
  }
  if (structure === undefined) throw new StoreError(`${folder}: no task has been learned yet`);
  const { config } = await loadConfig(join(path, configFile));
  const model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    ...(config.threads === undefined ? {} : { threads: config.threads }),
  });
  return new RunPredictor(tasks, model);
}
