import type { z } from "zod";
import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import { ConfigError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import type { Example } from "../data/types.ts";
import { writeFolderAtomic } from "../io/atomic.ts";
import { encodePeftFolder, readPeftFolder } from "../peft/checkpoint.ts";
import type { FitEvent } from "../train/trainer.ts";
import { loadBackbone, readArchitecture } from "./backbone.ts";
import { findTask } from "./classify.ts";
import { requireCombination } from "./combinations.ts";
import { configFields } from "./configFields.ts";
import { toConfigIssues } from "./configIssues.ts";
import {
  checkName,
  type LearnerSettings,
  type Lessons,
  type NewTask,
  type NewWordTask,
  openLessons,
} from "./lessons.ts";
import { slugFor } from "./manifest.ts";
import type { EntityOptions, Prediction, PredictOptions, TaggedText } from "./types.ts";

export type { NewTask, NewWordTask } from "./lessons.ts";

const learnerSchema = configFields.pick({
  backbone: true,
  backboneRevision: true,
  method: true,
  head: true,
  level: true,
  feature: true,
  prompt: true,
  training: true,
  threads: true,
  seed: true,
});

/** The sections of a configuration that do not speak of data; all but `backbone` have defaults. */
export type LearnerConfig = z.input<typeof learnerSchema>;

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

/** What the settings ask that goes together nowhere. */
const refusals: readonly {
  readonly path: string;
  readonly broken: (settings: Pick<LearnerSettings, "level" | "head" | "prompt" | "feature">) => boolean;
  readonly message: string;
}[] = [
  {
    path: "prompt",
    broken: ({ level, prompt }) => level === "word" && prompt !== undefined,
    message: "a prompt is put around a sentence: at level: word there is none",
  },
  {
    path: "feature",
    broken: ({ level, head, feature }) =>
      (level === "word" || head.kind === "none") &&
      (feature.pooling !== undefined || feature.normalize !== undefined),
    message: "a feature is what a sentence's head reads: here there is none",
  },
];

/** A frozen backbone that learns task after task in memory. Holds native memory: dispose of it. */
export class Learner implements AsyncDisposable {
  private readonly lessons: Lessons;
  private readonly learned: LearnedTask[] = [];

  constructor(lessons: Lessons) {
    this.lessons = lessons;
  }

  /** What it learns: labels of texts (`predict`), or entities in them (`findEntities`). */
  get level(): RunLevel {
    return this.lessons.level;
  }

  get tasks(): readonly { readonly name: string; readonly labels: readonly string[] }[] {
    return this.learned;
  }

  /**
   * Trains an adapter for a task, and where the settings have one a head; what was learned before does not change.
   * @throws DataError if the task is empty, has nothing to tell apart, a name that was learned, or is of the other level
   * @throws EngineError if the loss leaves the finite numbers; the task is then not kept
   */
  async learn(task: NewTask | NewWordTask, options: LearnTaskOptions = {}): Promise<LearnedSummary> {
    const start = performance.now();
    const training = this.lessons.learn(task, this.learned, options.signal);
    let loss = 0;
    let next = await training.next();
    for (; !next.done; next = await training.next()) {
      options.onEvent?.(next.value);
      if (next.value.type === "epoch") loss = next.value.meanLoss;
    }
    const { learned, truncatedTexts } = next.value;
    this.keep(learned);
    const seconds = (performance.now() - start) / 1000;
    return { name: learned.name, labels: learned.labels, seconds, loss, truncatedTexts };
  }

  private keep(task: LearnedTask): void {
    this.lessons.add(task, this.learned);
    this.learned.push(task);
  }

  /**
   * Labels texts among all tasks' labels, or with `task` among that task's own.
   * @throws StoreError at level: word, or if nothing was learned yet
   */
  predict(texts: readonly (string | Example)[], options: PredictOptions = {}): Promise<Prediction[]> {
    return this.lessons.predict(this.learned, texts.map(asExample), options);
  }

  /**
   * Finds entities of all tasks' types, or with `task` of that task's own. Texts are split at white space; `words` of
   * an example are taken as they are.
   * @throws StoreError at level: sentence, or if nothing was learned yet
   */
  findEntities(texts: readonly (string | Example)[], options: EntityOptions = {}): Promise<TaggedText[]> {
    return this.lessons.findEntities(this.learned, texts.map(asExample), options);
  }

  /** Writes a task's adapter, and its head where it has one, as a peft folder, whole or not at all. */
  async saveAdapter(task: string, folder: string): Promise<void> {
    await writeFolderAtomic(folder, encodePeftFolder(this.lessons.save(findTask(this.learned, task))));
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
   * Takes in an adapter that was saved before, here or by peft. At level: word the stream's first task goes first: its
   * head alone has `O`.
   * @throws CheckpointError if it was trained on another backbone, or has another structure than this learner's
   * @throws DataError if a task of that name was learned
   */
  async loadAdapter(name: string, folder: string): Promise<void> {
    const saved = await readPeftFolder(folder);
    checkName(name, this.learned);
    this.keep(this.lessons.restore(name, saved, folder));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lessons[Symbol.asyncDispose]();
  }
}

function asExample(text: string | Example): Example {
  return typeof text === "string" ? { text } : text;
}

function checkedSettings(config: LearnerConfig) {
  const parsed = learnerSchema.safeParse(config);
  if (!parsed.success)
    throw new ConfigError("createLearner: the settings are wrong", {
      issues: toConfigIssues(learnerSchema, config, parsed.error),
    });
  const settings = parsed.data;
  const [broken] = refusals.filter((rule) => rule.broken(settings));
  if (broken !== undefined) throw new ConfigError(`createLearner: ${broken.path}: ${broken.message}`);
  if (settings.method.adapter === "lora" && settings.method.selector !== undefined)
    throw new ConfigError("createLearner: a selection network is learned by a run alone", {
      hint: "Leave method.selector out, or use a whole experiment: accrete run, runExperiment.",
    });
  return settings;
}

/**
 * Opens a backbone to learn tasks with, without files or folders around it: labels of texts with a head
 * (`head: linear`, `cosine`) or in words (`head: none`), or entities (`level: word`).
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used
 */
export async function createLearner(config: LearnerConfig): Promise<Learner> {
  const settings = checkedSettings(config);
  const { backbone, backboneRevision, method, head, level } = settings;
  const family = await readArchitecture(backbone, backboneRevision);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  return new Learner(await openLessons(settings, await loadBackbone(backbone, backboneRevision)));
}
