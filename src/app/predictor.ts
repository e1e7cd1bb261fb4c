import { basename, resolve } from "node:path";
import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../continual/generativeBackbone.ts";
import { seenLabels } from "../continual/generativeEvaluation.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { OpenedOnce } from "../core/openedOnce.ts";
import type { RunLevel } from "../core/record.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/prompts.ts";
import type { Example } from "../data/types.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { answer } from "./answer.ts";
import { type LoadedBackbone, loadBackbone } from "./backbone.ts";
import { classify } from "./classify.ts";
import { findEntities, findEntitiesRouted } from "./findEntities.ts";
import { openGenerative } from "./generativeExperiment.ts";
import { answerRouted, openReader } from "./generativeRouting.ts";
import { type OpenedRun, readRun, type SavedTask } from "./openedRun.ts";
import { classifyRouted, type TextRouter, textRouterOf } from "./routingPredictor.ts";
import { fromSavedAdapter, fromSavedAnswers } from "./savedTask.ts";
import { holdsStore, openStoreForPrediction } from "./store/answers.ts";
import type {
  EntityOptions,
  LoadAdapterOptions,
  LoadedAdapter,
  OpenRunOptions,
  Prediction,
  PredictOptions,
  Predictor,
  TaggedText,
} from "./types.ts";
import { type WordRouter, wordRouterOf } from "./wordRouting.ts";

/** The method that answers at each level. */
const methods: { readonly [L in RunLevel]: "predict" | "findEntities" } = {
  sentence: "predict",
  word: "findEntities",
};

class TaskPredictor implements LoadedAdapter {
  readonly level: RunLevel;
  readonly tasks: readonly LearnedTask[];
  readonly notes: readonly string[];
  readonly model: AdaptedBackbone;
  /** Opened when first asked: exact answers do without its files. */
  private readonly router: OpenedOnce<TextRouter> | undefined;
  private readonly wordRouter: OpenedOnce<WordRouter> | undefined;

  /** @param run absent: the adapters are not a run's, and nothing routes among them */
  constructor(
    tasks: readonly LearnedTask[],
    model: AdaptedBackbone,
    notes: readonly string[] = [],
    run?: OpenedRun,
  ) {
    this.level = model.structure.level ?? "sentence";
    this.tasks = tasks;
    this.model = model;
    this.notes = notes;
    const learned = run && { run, model, tasks };
    const openText = learned && this.level === "sentence" ? textRouterOf(learned) : undefined;
    const openWords = learned && this.level === "word" ? wordRouterOf(learned) : undefined;
    this.router = openText && new OpenedOnce(openText);
    this.wordRouter = openWords && new OpenedOnce(openWords);
  }

  async predict(examples: readonly Example[], options: PredictOptions = {}): Promise<Prediction[]> {
    this.checkLevel("sentence");
    const routed = options.task === undefined && options.exact !== true;
    if (!routed || this.router === undefined)
      return await classify(this.model, this.tasks, examples, options);
    return await classifyRouted(await this.router.get(), this, examples, options);
  }

  async findEntities(examples: readonly Example[], options: EntityOptions = {}): Promise<TaggedText[]> {
    this.checkLevel("word");
    const routed = options.task === undefined && options.exact !== true;
    if (!routed || this.wordRouter === undefined)
      return await findEntities(this.model, this.tasks, examples, options);
    const { answer: tag } = await this.wordRouter.get();
    return await findEntitiesRouted(this.model, tag, examples, options);
  }

  private checkLevel(asked: RunLevel): void {
    if (this.level === asked) return;
    throw new StoreError(`${methods[asked]}: this was learned at level ${this.level}`, {
      hint: `Use ${methods[this.level]}.`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router?.[Symbol.asyncDispose]();
    await this.wordRouter?.[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
  }
}

/** Answers with the words of labels, by label scoring. */
class AnswerPredictor implements LoadedAdapter {
  readonly level: RunLevel = "sentence";
  readonly tasks: readonly LearnedTask[];
  readonly notes: readonly string[];
  private readonly model: GenerativeBackbone;
  private readonly reader: AdaptedBackbone | undefined;
  private readonly router: OpenedOnce<TextRouter> | undefined;

  /** @param routing what a run learned to choose adapters with */
  constructor(
    tasks: readonly LearnedTask[],
    model: GenerativeBackbone,
    notes: readonly string[] = [],
    routing?: { readonly run: OpenedRun; readonly reader: AdaptedBackbone },
  ) {
    this.tasks = tasks;
    this.model = model;
    this.notes = notes;
    this.reader = routing?.reader;
    const open = routing && textRouterOf({ run: routing.run, model: routing.reader, tasks });
    this.router = open && new OpenedOnce(open);
  }

  async predict(examples: readonly Example[], options: PredictOptions = {}): Promise<Prediction[]> {
    const { router, reader } = this;
    const routed = options.task === undefined && options.exact !== true;
    if (!routed || router === undefined || reader === undefined)
      return await answer(this.model, this.tasks, examples, options);
    return await answerRouted(this.model, await router.get(), reader, this.tasks, examples, options);
  }

  findEntities(): Promise<TaggedText[]> {
    const message = "findEntities: this answers with labels of texts";
    return Promise.reject(new StoreError(message, { hint: "Use predict." }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router?.[Symbol.asyncDispose]();
    await this.reader?.[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
  }
}

/** How a model reads texts, and on how many threads. */
type Reading = Parameters<typeof openGenerative>[0];

/** @throws CheckpointError if there is no label to answer with, as beside an adapter made elsewhere */
async function answersOf(
  saved: readonly Omit<SavedTask, "files">[],
  loaded: LoadedBackbone,
  reading: Reading,
  notes: readonly string[] = [],
  run?: OpenedRun,
): Promise<LoadedAdapter> {
  const restored = saved.map((task) => fromSavedAnswers(task.name, task.saved, loaded, task.where));
  const [first] = restored;
  const tasks = restored.map(({ task }) => task);
  const labels = seenLabels(tasks);
  if (first === undefined || labels.length === 0)
    throw new CheckpointError(
      `${saved[0]?.where}: nothing beside the adapter says which labels it answers with`,
      {
        hint: "accrete generate continues texts with it.",
      },
    );
  const prompt = first.prompt ?? DEFAULT_PROMPT;
  const model = await openGenerative(reading, loaded, first.structure, prompt, labels);
  const routing = run?.config.router && {
    run,
    reader: openReader(reading, loaded, first.structure, prompt),
  };
  return new AnswerPredictor(tasks, model, [...notes, ...first.notes], routing);
}

/** Every task's head on the structure that they share. @param run what they are a run of, if of any */
function headsOf(
  saved: readonly Omit<SavedTask, "files">[],
  loaded: LoadedBackbone,
  { training, threads }: Reading,
  notes: readonly string[] = [],
  run?: OpenedRun,
): LoadedAdapter {
  const restored = saved.map((task) => fromSavedAdapter(task.name, task.saved, loaded, task.where));
  const [first] = restored;
  if (first === undefined) throw new StoreError("no task has been learned yet");
  const model = new AdaptedBackbone({
    structure: first.structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: training.maxLength,
    ...(first.prompt !== undefined && { template: promptTemplate(first.prompt) }),
    ...(threads === undefined ? {} : { threads }),
  });
  const tasks = restored.map(({ task }) => task);
  return new TaskPredictor(tasks, model, [...notes, ...first.notes], run);
}

/**
 * Opens a run or store folder for prediction. The folder and the backbone that it names are enough; the backbone
 * is checked by its hash, and may lie elsewhere now.
 * @throws StoreError if the folder is no run, or no task was learned yet
 * @throws CheckpointError if the backbone is another one, or an adapter is damaged
 */
export async function openRun(folder: string, options: OpenRunOptions = {}): Promise<Predictor> {
  if (await holdsStore(folder)) return openStoreForPrediction(folder, options);
  const run = await readRun(folder, options);
  const { tasks, loaded, config } = run;
  return config.head.kind === "none"
    ? answersOf(tasks, loaded, config, [], run)
    : headsOf(tasks, loaded, config, [], run);
}

/**
 * Opens one adapter folder for prediction: ours, or one that Hugging Face's peft saved for a classifier
 * or a language model.
 * @param folder holds `adapter_config.json`, `adapter_model.safetensors`, and a head inside or beside
 * @throws CheckpointError if the folder is damaged, has neither head nor labels, is of a kind that Accrete does not have, or says that
 *   it belongs to another backbone
 */
export async function loadAdapter(folder: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
  const { name = basename(resolve(folder)), maxLength, threads, signal, backbone, ...pooling } = options;
  const saved = await readPeftFolder(folder, pooling);
  const place = backbone ?? saved.baseModel;
  if (place === "")
    throw new CheckpointError(`${folder}: does not name its backbone`, {
      hint: "give its folder or hub id with the option `backbone`",
    });
  const loaded = await loadBackbone(place, undefined, signal);
  const tasks = [{ name, saved, where: folder }];
  const reading = {
    training: { maxLength: maxLength ?? loaded.backbone.maxTokens },
    ...(threads === undefined ? {} : { threads }),
  };
  const { notes } = loaded.folder;
  return saved.causal === undefined
    ? headsOf(tasks, loaded, reading, notes)
    : answersOf(tasks, loaded, reading, notes);
}
