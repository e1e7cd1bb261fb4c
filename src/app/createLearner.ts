import type { z } from "zod";
import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import { ContinualLearner, type TaskToLearn } from "../continual/learner.ts";
import { ConfigError, DataError } from "../core/errors.ts";
import { promptTemplate } from "../data/prompts.ts";
import type { Example, LabelledExample } from "../data/types.ts";
import { writeFolderAtomic } from "../io/atomic.ts";
import { adapterMethod } from "../peft/adapters.ts";
import { encodePeftFolder, readPeftFolder } from "../peft/checkpoint.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { adapterHost } from "../train/graphs.ts";
import type { FitEvent } from "../train/trainer.ts";
import { loadBackbone } from "./backbone.ts";
import { classify } from "./classify.ts";
import { toConfigIssues } from "./configIssues.ts";
import { configFields } from "./configSchema.ts";
import { slugFor } from "./manifest.ts";
import { fromSavedAdapter, promptOf, toSavedAdapter } from "./savedTask.ts";
import { resolveStructure, resolveTraining } from "./structure.ts";
import type { Prediction, PredictOptions } from "./types.ts";

const learnerSchema = configFields.pick({
  backbone: true,
  backboneRevision: true,
  method: true,
  head: true,
  feature: true,
  prompt: true,
  training: true,
  threads: true,
  seed: true,
});

/** The sections of a configuration that do not speak of data; all but `backbone` have defaults. */
export type LearnerConfig = z.input<typeof learnerSchema>;

export interface NewTask {
  readonly name: string;
  readonly train: readonly LabelledExample[];
  /** For early stopping. */
  readonly validation?: readonly LabelledExample[];
  /** In slot order; default: by first appearance in `train`. */
  readonly labels?: readonly string[];
}

export interface LearnTaskOptions {
  readonly onEvent?: (event: FitEvent) => void;
  readonly signal?: AbortSignal;
}

export interface LearnedSummary {
  readonly name: string;
  readonly labels: readonly string[];
  readonly seconds: number;
  /** Mean loss over the last epoch. */
  readonly loss: number;
  readonly truncatedTexts: number;
}

function checkTask(task: NewTask, known: readonly LearnedTask[]): TaskToLearn {
  const where = `task "${task.name}"`;
  if (known.some(({ name }) => name === task.name))
    throw new DataError(`${where}: was learned already`, { hint: "give the new task another name" });
  if (task.train.length === 0) throw new DataError(`${where}: has no training examples`);
  const labels = task.labels ?? [...new Set(task.train.map(({ label }) => label))];
  if (new Set(labels).size < 2)
    throw new DataError(`${where}: has ${labels.length} class, so there is nothing to tell apart`, {
      hint: "give a task at least two labels",
    });
  return { name: task.name, labels, train: task.train, validation: task.validation ?? [] };
}

/** A frozen backbone that learns task after task in memory. Holds native memory: dispose of it. */
export class Learner implements AsyncDisposable {
  private readonly loaded: Awaited<ReturnType<typeof loadBackbone>>;
  private readonly model: AdaptedBackbone;
  private readonly learner: ContinualLearner;
  private readonly learned: LearnedTask[] = [];

  constructor(
    loaded: Awaited<ReturnType<typeof loadBackbone>>,
    model: AdaptedBackbone,
    learner: ContinualLearner,
  ) {
    this.loaded = loaded;
    this.model = model;
    this.learner = learner;
  }

  get tasks(): readonly { readonly name: string; readonly labels: readonly string[] }[] {
    return this.learned;
  }

  /**
   * Trains an adapter and a head for a task; what was learned before does not change.
   * @throws DataError if the task is empty, has one class, or a name that was learned
   * @throws EngineError if the loss leaves the finite numbers; the task is then not kept
   */
  async learn(task: NewTask, options: LearnTaskOptions = {}): Promise<LearnedSummary> {
    const toLearn = checkTask(task, this.learned);
    const start = performance.now();
    const training = this.learner.learn(toLearn, options.signal);
    let loss = 0;
    let next = await training.next();
    for (; !next.done; next = await training.next()) {
      options.onEvent?.(next.value);
      if (next.value.type === "epoch") loss = next.value.meanLoss;
    }
    const { learned, truncatedTexts } = next.value;
    this.learned.push(learned);
    const seconds = (performance.now() - start) / 1000;
    return { name: learned.name, labels: learned.labels, seconds, loss, truncatedTexts };
  }

  /** Classifies texts among all tasks' labels, or with `task` among that task's own. */
  predict(texts: readonly (string | Example)[], options: PredictOptions = {}): Promise<Prediction[]> {
    const examples = texts.map((text) => (typeof text === "string" ? { text } : text));
    return classify(this.model, this.learned, examples, options);
  }

  /** Writes a task's adapter and head as a peft folder, whole or not at all. */
  async saveAdapter(task: string, folder: string): Promise<void> {
    const learned = this.learned.find(({ name }) => name === task);
    if (learned === undefined)
      throw new ConfigError(`no task is called "${task}"`, {
        hint: `tasks: ${this.learned.map(({ name }) => name).join(", ")}`,
      });
    await writeFolderAtomic(
      folder,
      encodePeftFolder(toSavedAdapter(learned, this.model.structure, this.loaded, promptOf(this.model))),
    );
  }

  /** Writes every task to `<folder>/<slug>/`. @returns the folders, in the order of learning. */
  async save(folder: string): Promise<readonly string[]> {
    const slugs = new Set<string>();
    for (const { name } of this.learned) {
      const slug = slugFor(name, slugs);
      slugs.add(slug);
      await this.saveAdapter(name, `${folder}/${slug}`);
    }
    return [...slugs].map((slug) => `${folder}/${slug}`);
  }

  /**
   * Takes in an adapter with its head that was saved before, here or by peft.
   * @throws CheckpointError if it was trained on another backbone, or has another structure than this learner's
   */
  async loadAdapter(name: string, folder: string): Promise<void> {
    const saved = await readPeftFolder(folder);
    const { task, structure, prompt } = fromSavedAdapter(name, saved, this.loaded, folder);
    checkTask({ name, labels: task.labels, train: [{ text: "", label: "" }] }, this.learned);
    this.checkStructure({ structure, prompt }, folder);
    this.learned.push(task);
  }

  private checkStructure(other: Pick<AdaptedBackbone, "structure" | "prompt">, where: string): void {
    const describe = ({ structure, prompt }: typeof other) => ({
      ...adapterMethod(structure.adapter).describe(adapterHost(structure)),
      ...structure.feature,
      head: structure.head.kind,
      level: structure.level ?? "sentence",
      ...(prompt !== undefined && { prompt }),
    });
    const [own, given] = [describe(this.model), describe(other)];
    if (JSON.stringify(own) !== JSON.stringify(given))
      throw new ConfigError(
        `${where}: is built otherwise: ${JSON.stringify(given)}; this learner has ${JSON.stringify(own)}`,
        {
          hint: "create the learner with the adapter's method, head, feature and prompt",
        },
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.learner[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
  }
}

/**
 * Opens a backbone to learn tasks with, without files or folders around it.
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used
 */
export async function createLearner(config: LearnerConfig): Promise<Learner> {
  const parsed = learnerSchema.safeParse(config);
  if (!parsed.success)
    throw new ConfigError("createLearner: the settings are wrong", {
      issues: toConfigIssues(learnerSchema, config, parsed.error),
    });
  const settings = parsed.data;
  if (settings.method.adapter === "lora" && settings.method.selector !== undefined)
    throw new ConfigError("createLearner: a selection network is learned by a run alone", {
      hint: "Leave method.selector out, or use a whole experiment: accrete run, runExperiment.",
    });
  const loaded = await loadBackbone(settings.backbone, settings.backboneRevision);
  const model = new AdaptedBackbone({
    structure: resolveStructure(settings, loaded),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: settings.training.maxLength,
    ...(settings.prompt !== undefined && { template: promptTemplate(settings.prompt) }),
    ...(settings.threads === undefined ? {} : { threads: settings.threads }),
  });
  return new Learner(loaded, model, new ContinualLearner(model, resolveTraining(settings), settings.seed));
}
