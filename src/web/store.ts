/** An exported store in a browser: it answers, and goes on learning from examples. */
import type { Prediction } from "../continual/answers.ts";
import { checkTop, DEFAULT_TOP } from "../continual/answers.ts";
import { type FittedRouter, RouterFitter } from "../continual/routers/fit.ts";
import { firstPassOnly } from "../continual/routing/fusion.ts";
import { decide, type RoutedTask } from "../continual/routing/routedPrediction.ts";
import { decodeContributions, encodeContributions } from "../continual/statistics/contributionFile.ts";
import { quantize } from "../continual/statistics/fixedRows.ts";
import { ClassStatistics } from "../continual/statistics/statistics.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { provideTokenizerLibrary } from "../data/encoding/officialTokenizer.ts";
import { openTokenizer } from "../data/encoding/tokenizer.ts";
import {
  onnxFile,
  parseWebManifest,
  type WebManifest,
  webFile,
  webRouterFile,
  webStatisticsFile,
} from "../export/webFiles.ts";
import { checkExamples, homeOf } from "../model/classes.ts";
import { builtinModule } from "../portable/builtin.ts";
import { engineFiles, openOnnx, webRuntime } from "../runtime/web.ts";
import { emptyStore, type ModelOptions } from "./create.ts";
import { Encoder } from "./encoder.ts";
import { addressSource, type FileSource, requireFile } from "./files.ts";
import { savedSource, saveFiles } from "./opfs.ts";

export interface OpenOptions {
  /** Address of `tokenizers.wasm`; default: beside this module. */
  readonly tokenizerLibrary?: string | URL | undefined;
  /** Address of the folder with the engine's own `.wasm` files; default: beside the engine's module. */
  readonly engine?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PredictOptions {
  /** How many classes `top` of an answer holds at most; default 5. */
  readonly top?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the store knows: an immutable value. */
interface Known {
  readonly statistics: ClassStatistics;
  readonly tasks: readonly RoutedTask[];
  /** Absent where every class was forgotten. */
  readonly router: FittedRouter | undefined;
}

let library: Promise<void> | undefined;

/** Fetches and compiles the tokenizers once for the page. */
async function loadTokenizers(address: string | URL, signal?: AbortSignal): Promise<void> {
  const [, folder = ".", name = ""] = /^(.*)\/([^/]+)$/.exec(String(address)) ?? [];
  const bytes = await addressSource(folder, signal).read(name);
  if (bytes === undefined)
    throw new CheckpointError(`${address}: there is no tokenizer library`, {
      hint: "Serve tokenizers.wasm of accrete-lm's dist/web beside the module, or say where it is: tokenizerLibrary.",
    });
  await provideTokenizerLibrary(bytes);
}

async function requireLibrary({ tokenizerLibrary, signal }: OpenOptions): Promise<void> {
  // Node reads it from its file.
  if (builtinModule !== undefined) return;
  library ??= loadTokenizers(tokenizerLibrary ?? new URL("./tokenizers.wasm", import.meta.url), signal);
  try {
    await library;
  } catch (error) {
    // Whoever opens next tries anew.
    library = undefined;
    throw error;
  }
}

function sourceOf(place: string | URL | FileSource, signal: AbortSignal | undefined): FileSource {
  return typeof place === "string" || place instanceof URL ? addressSource(place, signal) : place;
}

/** Without a second pass no head is asked. */
const noHeads = () => Promise.resolve([]);

/**
 * A store that was exported with `accrete export <store> --to onnx`. Changes stay in the page until {@link save}. Holds memory of
 * the engine: dispose of it.
 */
export class WebStore implements AsyncDisposable {
  private readonly source: FileSource;
  private readonly manifest: WebManifest;
  private readonly encoder: Encoder;
  private readonly fitter: RouterFitter;
  private known: Known;
  private changing: Promise<unknown> = Promise.resolve();

  private constructor(
    source: FileSource,
    manifest: WebManifest,
    parts: { readonly encoder: Encoder; readonly fitter: RouterFitter; readonly known: Known },
  ) {
    this.source = source;
    this.manifest = manifest;
    this.encoder = parts.encoder;
    this.fitter = parts.fitter;
    this.known = parts.known;
  }

  /**
   * Opens an exported folder.
   * @param place its address, or what reads its files
   * @throws CheckpointError if a file is missing or damaged, DataError if one cannot be fetched
   */
  static async open(place: string | URL | FileSource, options: OpenOptions = {}): Promise<WebStore> {
    const { engine, signal } = options;
    const source = sourceOf(place, signal);
    const manifestBytes = await requireFile(source, webFile);
    const manifest = parseWebManifest(new TextDecoder().decode(manifestBytes), `${source.where}/${webFile}`);
    await requireLibrary(options);
    // Only what is there is asked for: some servers answer with a page where there is no file.
    const listed = new Set(manifest.files);
    const tokenizer = await openTokenizer({
      where: source.where,
      read: (name) => (listed.has(name) ? source.read(name) : Promise.resolve(undefined)),
    });
    const file = (name: string) => `${source.where}/${name}`;
    const { constants, contributions } = decodeContributions(
      await requireFile(source, webStatisticsFile),
      file(webStatisticsFile),
    );
    const statistics = ClassStatistics.empty(constants).with(contributions);
    if (engine !== undefined) engineFiles(engine);
    const fitter = new RouterFitter((graph) => webRuntime.compile(graph));
    const router = listed.has(webRouterFile)
      ? fitter.decode(await requireFile(source, webRouterFile), file(webRouterFile))
      : undefined;
    const model = await openOnnx(await requireFile(source, onnxFile), file(onnxFile));
    const { maxTokens, prompt, tasks } = manifest;
    const encoder = new Encoder({ model, tokenizer, maxTokens, prompt, width: constants.width });
    return new WebStore(source, manifest, { encoder, fitter, known: { statistics, tasks, router } });
  }

  /**
   * Begins an empty store on an encoder as Hugging Face publishes it: config.json, model.safetensors and tokenizer.json. Its features
   * are those of a store in Node on the same model.
   * @param model its address, or what reads its files
   */
  static async create(
    model: string | URL | FileSource,
    options: OpenOptions & ModelOptions = {},
  ): Promise<WebStore> {
    await requireLibrary(options);
    return await WebStore.open(await emptyStore(sourceOf(model, options.signal), options), options);
  }

  /** Opens a store that {@link save} left in this browser. */
  static async openSaved(name: string, options: OpenOptions = {}): Promise<WebStore> {
    return await WebStore.open(await savedSource(name), options);
  }

  /** Every class, sorted. */
  get labels(): readonly string[] {
    return this.known.statistics.labels;
  }

  get tasks(): readonly { readonly name: string; readonly labels: readonly string[] }[] {
    return this.known.tasks.map(({ name, labels }) => ({ name, labels }));
  }

  /** Examples that are kept of a class, as rows of features. */
  countExamples(label: string): number {
    return this.known.statistics.count(label);
  }

  /**
   * Labels texts, as the store's immediate router does in Node.
   * @throws StoreError where no class is known
   */
  async predict(
    texts: readonly string[],
    { top = DEFAULT_TOP, signal }: PredictOptions = {},
  ): Promise<readonly Prediction[]> {
    checkTop(top);
    const { tasks, router } = this.known;
    if (router === undefined)
      throw new StoreError("no class is known", { hint: "Teach one: learnClass(label, examples)." });
    const features = await this.encoder.features(texts, signal);
    const { posterior, unknown } = await router.assess(features, { signal });
    const decided = await decide(posterior, tasks, { router, fusion: firstPassOnly }, noHeads, top);
    const { rejectRate } = this.manifest;
    const threshold =
      rejectRate === undefined ? Number.POSITIVE_INFINITY : router.unknownThreshold(rejectRate);
    return decided.map(({ label, score, task, top: likeliest }, i) => ({
      text: texts[i]!,
      label: unknown[i]! > threshold ? null : label,
      score,
      task: task === undefined ? "" : (tasks[task]?.name ?? ""),
      top: likeliest,
      unknown: unknown[i]!,
      passes: 1,
      router: "immediate" as const,
    }));
  }

  /**
   * Learns a class from a few examples, or more of one that is known, and fits the router anew. Answers that are on their way end
   * with what was known when they began.
   * @throws DataError without an example
   */
  async learnClass(
    label: string,
    examples: readonly string[],
    {
      task: asked,
      signal,
    }: { readonly task?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    checkExamples(
      label,
      examples.map((text) => ({ text })),
    );
    await this.change(async ({ statistics, tasks }) => {
      const rows = quantize(await this.encoder.features(examples, signal));
      const state = {
        tasks: tasks.map((task) => ({
          ...task,
          rows: { constants: statistics.constants, contributions: [] },
        })),
      };
      const { name, task: home } = homeOf(state, label, asked);
      const labels = home === undefined ? [label] : [...new Set([...home.labels, label])];
      const next = { name, labels };
      const known = tasks.some((task) => task.name === name);
      return {
        statistics: statistics.with([{ label, rows }]),
        tasks: known ? tasks.map((task) => (task.name === name ? next : task)) : [...tasks, next],
      };
    }, signal);
  }

  /**
   * Forgets a class: what answers is as if it had never been seen.
   * @throws StoreError where there is none of that name
   */
  async forgetClass(label: string): Promise<void> {
    await this.change(({ statistics, tasks }) => {
      if (!statistics.labels.includes(label))
        throw new StoreError(`no class is called "${label}"`, {
          code: "NO_SUCH_CLASS",
          hint: `Classes: ${statistics.labels.join(", ") || "none"}.`,
        });
      return Promise.resolve({
        statistics: statistics.without(label),
        tasks: tasks
          .map((task) => ({ ...task, labels: task.labels.filter((each) => each !== label) }))
          .filter(({ labels }) => labels.length > 0),
      });
    });
  }

  /** One change after the other. */
  private async change(
    next: (known: Known) => Promise<Omit<Known, "router">>,
    signal?: AbortSignal,
  ): Promise<void> {
    const turn = this.changing.then(async () => {
      signal?.throwIfAborted();
      const { statistics, tasks } = await next(this.known);
      const { router: kind, seed } = this.manifest;
      const router =
        statistics.labels.length === 0
          ? undefined
          : await this.fitter.fit(statistics, { kind, seed, signal });
      this.known = { statistics, tasks, router };
    });
    this.changing = turn.catch(() => undefined);
    await turn;
  }

  /** The files of the store as it is now, those of the model too. */
  private async files(): Promise<ReadonlyMap<string, Uint8Array | string>> {
    const { source, fitter } = this;
    const { statistics, tasks, router } = this.known;
    const files = new Map<string, Uint8Array | string>();
    for (const name of this.manifest.files)
      if (name !== webRouterFile && name !== webStatisticsFile)
        files.set(name, await requireFile(source, name));
    const { constants, contributions, outside } = statistics;
    files.set(
      webStatisticsFile,
      encodeContributions({ constants, contributions: [...contributions, ...outside] }),
    );
    const bytes = router && fitter.encode(router);
    if (bytes !== undefined) files.set(webRouterFile, bytes);
    const manifest: WebManifest = {
      ...this.manifest,
      tasks: tasks.map(({ name, labels }) => ({ name, labels: [...labels] })),
      files: [...files.keys()].sort(),
    };
    files.set(webFile, `${JSON.stringify(manifest, null, 2)}\n`);
    return files;
  }

  /**
   * Saves the store in this browser's own file system (OPFS), with its model, so that {@link openSaved} needs no network. Whole or
   * not at all.
   */
  async save(name: string): Promise<void> {
    await this.changing;
    await saveFiles(name, await this.files());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.changing;
    await this.fitter[Symbol.asyncDispose]();
    await this.encoder[Symbol.asyncDispose]();
  }
}
