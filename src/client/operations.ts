// Made by tools/client/generate.ts from the server's OpenAPI document.
import type { CallOptions, Send } from "./send.ts";

/** What `GET /health/live` gives. */
export interface Health {
  readonly status: "ok" | "starting" | "stopping" | "failed";
}

/** What `GET /health/live` says where it fails. */
export interface Error {
  /** Where, what, and what to do. */ readonly error: string;
  readonly error_type: string;
  /** Stays the same from version to version. */ readonly code: string;
  readonly request_id: string;
}

/** What `GET /info` gives. */
export interface Info {
  readonly name: "accrete";
  readonly version: string;
  readonly started: string;
  readonly read_only: boolean;
  readonly lists_runs: boolean;
  readonly watches_queue: boolean;
  readonly keeps_texts_days?: number;
  /** Stores that are open, the first hundred by name; GET /stores lists all. */ readonly stores: readonly {
    readonly name: string;
    readonly version: number;
    readonly backbone: string;
  }[];
  readonly open_stores: number;
  readonly limits: Readonly<Record<string, number>>;
  readonly max_client_batch_size: number;
  readonly max_batch_tokens: number;
}

/** What `GET /runs` gives. */
export interface Runs {
  readonly runs: readonly RunSummary[];
}

/** A part of an answer. */
export interface RunSummary {
  readonly id: string;
  readonly state: "running" | "finished" | "stopped";
  readonly backbone: string;
  readonly tasks: number;
  readonly tasksDone: number;
  readonly started: string;
  readonly lastEvent: string;
  /** The mean over tasks, a fraction. */ readonly accuracy?: number;
  readonly forgetting?: number;
  readonly passesPerExample?: number;
  readonly trainSeconds?: number;
}

/** What `GET /runs/{id}` gives. */
export interface RunView {
  readonly id: string;
  readonly state: "running" | "finished" | "stopped";
  readonly backbone: string;
  readonly tasks: number;
  readonly tasksDone: number;
  readonly started: string;
  readonly lastEvent: string;
  /** The mean over tasks, a fraction. */ readonly accuracy?: number;
  readonly forgetting?: number;
  readonly passesPerExample?: number;
  readonly trainSeconds?: number;
  readonly level: "sentence" | "word";
  readonly taskNames: readonly string[];
  /** Row k: accuracies after task k, one a task. */ readonly matrix: readonly (readonly (number | null)[])[];
  readonly loss: readonly { readonly step: number; readonly loss: number; readonly task: number }[];
  readonly now?: {
    readonly task: string;
    readonly step: number;
    readonly totalSteps: number;
    readonly loss: number;
    readonly learningRate: number;
    readonly examplesPerSecond: number;
    readonly secondsLeft: number;
  };
  readonly log: readonly { readonly time: string; readonly message: string }[];
}

/** What `GET /workers` gives. */
export interface Queue {
  /** Of Redis, without a password. */ readonly place: string;
  readonly workers: readonly Worker[];
  /** Jobs by state, those of the last day. */ readonly jobs: Readonly<Record<string, number>>;
}

/** A part of an answer. */
export interface Worker {
  readonly name: string;
  readonly version: string;
  readonly concurrency: number;
  /** Why it takes no jobs now. */ readonly waits?: string;
  readonly work: readonly Work[];
  readonly done: number;
  readonly failed: number;
  /** Not heard of for 15 s. */ readonly dead: boolean;
  /** Since it was heard of; it tells of itself every 2 s. */ readonly silentSeconds: number;
}

/** A part of an answer. */
export interface Work {
  readonly sweep: string;
  readonly trial: string;
  /** Tasks that are learned and evaluated. */ readonly evaluated: number;
  readonly tasks?: number;
  readonly examplesPerSecond?: number;
  readonly secondsLeft?: number;
}

/** What `GET /stores` gives. */
export interface Stores {
  readonly stores: readonly {
    readonly name: string;
    readonly open: boolean;
    readonly version?: number;
    readonly backbone?: string;
  }[];
  readonly hasMore: boolean;
}

/** What `POST /stores/{name}/predict` gives. */
export interface Predictions {
  readonly predictions: readonly Prediction[];
}

/** A part of an answer. */
export interface Prediction {
  readonly text: string;
  /** Null where the text is taken to be of no known class. */ readonly label: string | null;
  readonly score: number;
  readonly task: string;
  readonly top: readonly ScoredLabel[];
  /** The probability that the text is of no class learned. */ readonly unknown?: number;
  readonly set?: readonly string[];
  readonly setCalibrated?: false;
  readonly passes: number;
  readonly version?: number;
  readonly router?: string;
}

/** A part of an answer. */
export interface ScoredLabel {
  readonly label: string;
  readonly score: number;
}

/** What `POST /stores/{name}/predict` takes. */
export interface PredictRequest {
  readonly texts: readonly string[];
  /** Answer with this task's own head. */ readonly task?: string;
  /** Ask every adapter, where a router was learned too. */ readonly exact?: boolean;
  readonly coverage?: number;
  /** Default 5. */ readonly top?: number;
}

/** What `POST /stores/{name}/tag` gives. */
export interface TaggedTexts {
  readonly texts: readonly TaggedText[];
}

/** A part of an answer. */
export interface TaggedText {
  readonly text: string;
  readonly entities: readonly Entity[];
  readonly passes: number;
  readonly version?: number;
  readonly router?: string;
}

/** A part of an answer. */
export interface Entity {
  readonly entity_group: string;
  readonly score: number;
  readonly word: string;
  /** In characters (code points), as Python counts. */ readonly start: number;
  readonly end: number;
}

/** What `GET /stores/{name}/status` gives. */
export interface StoreStatus {
  readonly store: string;
  readonly version: number;
  readonly level: "sentence" | "word";
  readonly taskType: string;
  readonly backbone: { readonly name: string; readonly hash: string };
  readonly classes: readonly string[];
  readonly tasks: readonly { readonly name: string; readonly labels: readonly string[] }[];
  readonly router?: string;
  readonly consolidated?: string;
  /** What a text is put into before it is answered in words. */ readonly prompt?: string;
  readonly problem?: string;
  readonly changesUnderWay: number;
}

/** What `GET /stores/{name}/versions` gives. */
export interface Versions {
  readonly versions: readonly { readonly version: number; readonly change: string; readonly time?: string }[];
}

/** What `POST /stores/{name}/learn` gives. */
export interface Job {
  readonly id: string;
  readonly store: string;
  readonly kind: "learn" | "forget" | "rollback" | "merge" | "corrections";
  readonly state: "waiting" | "running" | "done" | "failed" | "cancelled";
  readonly created: string;
  readonly ended?: string;
  /** What the change gave, `version` among it. */ readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
  /** Where its progress is told as server-sent events. */ readonly events: string;
}

/** What `POST /stores/{name}/learn` takes. */
export type LearnRequest =
  | {
      readonly task: string;
      readonly examples: readonly (
        | { readonly text: string; readonly textPair?: string; readonly label: string }
        | { readonly words: readonly string[]; readonly tags: readonly string[] }
      )[];
      readonly validation?: readonly (
        | { readonly text: string; readonly textPair?: string; readonly label: string }
        | { readonly words: readonly string[]; readonly tags: readonly string[] }
      )[];
      readonly types?: readonly string[];
      readonly statisticsOnly?: boolean;
    }
  | { readonly class: string; readonly texts: readonly string[]; readonly task?: string };

/** What `POST /stores/{name}/forget` takes. */
export type ForgetRequest =
  | {
      readonly class: string;
      readonly purge?: boolean;
      /** Refuse with 409 unless the store is at this version. */ readonly ifVersion?: number;
    }
  | {
      readonly task: string;
      readonly purge?: boolean;
      /** Refuse with 409 unless the store is at this version. */ readonly ifVersion?: number;
    };

/** What `POST /stores/{name}/rollback` takes. */
export interface RollbackRequest {
  /** Default: the version before. */ readonly to?: number;
  /** Refuse with 409 unless the store is at this version. */ readonly ifVersion?: number;
}

/** What `POST /stores/{name}/merge` takes. */
export interface MergeRequest {
  /** The name of another store that is served. */ readonly other: string;
}

/** What `POST /stores/{name}/corrections` takes. */
export interface CorrectionsRequest {
  readonly corrections: readonly { readonly text: string; readonly label: string }[];
}

/** What `GET /stores/{name}/jobs` gives. */
export interface Jobs {
  readonly jobs: readonly Job[];
}

/** What `GET /stores/{name}/classes` gives. */
export interface Classes {
  readonly version: number;
  readonly statisticsBytes: number;
  readonly classes: readonly {
    readonly label: string;
    readonly tasks: readonly string[];
    /** Texts that it was learned from. */ readonly rows: number;
    readonly statisticsBytes: number;
    /** How often it was named since its store was opened. */ readonly answers: number;
    readonly lastAnswered?: string;
  }[];
  readonly tasks: readonly {
    readonly name: string;
    readonly labels: readonly string[];
    readonly kind: "adapter" | "statistics";
    readonly rows: number;
    readonly statisticsBytes: number;
    readonly forgotten: number;
  }[];
}

/** What `GET /stores/{name}/quality` gives. */
export interface VersionQuality {
  readonly version: number;
  readonly quality?: Quality;
  readonly compared?: Compared;
}

/** A part of an answer. */
export interface Quality {
  /** Texts that were answered by a fit without them. */ readonly judged: number;
  readonly right: number;
  readonly classes: readonly {
    readonly label: string;
    /** Texts that were answered by a fit without them. */ readonly judged: number;
    readonly right: number;
  }[];
  readonly tasks: readonly {
    readonly task: string;
    /** Texts that were answered by a fit without them. */ readonly judged: number;
    readonly right: number;
  }[];
  /** Texts of one class that another was named for, the most frequent first. */ readonly confused: readonly {
    readonly label: string;
    readonly answer: string;
    readonly texts: number;
  }[];
  /** Answers by their score, in ten bins of equal width. */ readonly calibration: readonly {
    readonly from: number;
    readonly to: number;
    readonly meanScore: number;
    /** Texts that were answered by a fit without them. */ readonly judged: number;
    readonly right: number;
  }[];
  /** Classes of one text, which cannot be judged. */ readonly tooFew: readonly string[];
}

/** The same texts before and after. */
export interface Compared {
  readonly judged: number;
  readonly rightBefore: number;
  readonly rightAfter: number;
}

/** What `POST /stores/{name}/preview` gives. */
export interface Preview {
  readonly before?: Quality;
  readonly after?: Quality;
  readonly compared?: Compared;
}

/** What `GET /stores/{name}/differences` gives. */
export interface Differences {
  readonly classes: readonly { readonly label: string; readonly before: number; readonly after: number }[];
}

/** What `GET /stores/{name}/kept` gives. */
export interface KeptTexts {
  readonly texts: readonly KeptText[];
}

/** A part of an answer. */
export interface KeptText {
  readonly id: string;
  readonly time: string;
  readonly reason: "unknown" | "correction" | "taught";
  readonly text: string;
  readonly label: string | null;
  readonly score?: number;
  readonly unknown?: number;
  readonly version?: number;
}

/** What `GET /stores/{name}/kept/groups` gives. */
export interface KeptGroups {
  readonly groups: readonly (readonly KeptText[])[];
}

/** What `POST /stores/{name}/kept/nearest` gives. */
export interface NearTexts {
  readonly texts: readonly { readonly text: string; readonly label: string; readonly similarity: number }[];
}

/** What `POST /stores/{name}/kept/nearest` takes. */
export interface NearestRequest {
  readonly text: string;
  /** Default 3. */ readonly most?: number;
}

/** What `POST /stores/{name}/kept/delete` gives. */
export interface Removed {
  readonly removed: number;
}

/** What `POST /stores/{name}/kept/delete` takes. */
export interface ForgetKeptRequest {
  readonly id?: string;
  readonly text?: string;
}

/** What `POST /predict` gives. */
export type TeiPredictions = readonly ScoredLabel[] | readonly (readonly ScoredLabel[])[];

/** What `POST /predict` takes. */
export interface TeiPredictRequest {
  /** A text, a pair of texts, or a batch: [[text], [text, text], …]. */ readonly inputs:
    | string
    | readonly [string]
    | readonly [string, string]
    | readonly (readonly [string] | readonly [string, string])[];
  /** A store, or `store/task`; needed where several stores are served. */ readonly model?: string;
  /** Texts are always cut as the store's settings say. */ readonly truncate?: true;
  readonly raw_scores?: false;
}

/** What `POST /embed` gives. */
export type Embeddings = readonly (readonly number[])[];

/** What `POST /embed` takes. */
export interface TeiEmbedRequest {
  readonly inputs: string | readonly string[];
  /** A store, or `store/task`; needed where several stores are served. */ readonly model?: string;
  /** Texts are always cut as the store's settings say. */ readonly truncate?: true;
  /** To length 1; default true. */ readonly normalize?: boolean;
}

/** What `POST /tag` gives. */
export type TeiEntities = readonly (readonly Entity[])[];

/** What `POST /tag` takes. */
export interface TagRequest {
  readonly inputs: string | readonly string[];
  /** A store, or `store/task`; needed where several stores are served. */ readonly model?: string;
  readonly min_score?: number;
}

/** What `GET /v1/models` gives. */
export interface Models {
  readonly object: "list";
  readonly data: readonly {
    readonly id: string;
    readonly object: "model";
    readonly created: number;
    readonly owned_by: "accrete";
    /** The backbone; null where the store is not open. */ readonly root: string | null;
    readonly parent: string | null;
  }[];
  /** Whether there are stores behind the last one. */ readonly has_more: boolean;
}

/** What `GET /v1/models` says where it fails. */
export interface OpenAIError {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: null;
    readonly code: string;
  };
}

/** What `POST /classify` gives. */
export interface Classification {
  readonly id: string;
  readonly object: "list";
  readonly created: number;
  readonly model: string;
  readonly data: readonly {
    readonly index: number;
    readonly label: string | null;
    /** In the order of the model's classes. */ readonly probs: readonly number[];
    readonly num_classes: number;
  }[];
  readonly usage: Usage;
}

/** A part of an answer. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** What `POST /classify` takes. */
export interface ClassifyRequest {
  /** A store, or `store/task`; needed where several stores are served. */ readonly model?: string;
  readonly input: string | readonly string[];
  readonly user?: string;
}

/** What `POST /v1/completions` gives. */
export interface Completion {
  readonly id: string;
  readonly object: "text_completion";
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly logprobs: null;
    readonly finish_reason: "stop" | "length" | null;
  }[];
  readonly usage?: Usage;
}

/** What `POST /v1/completions` takes. */
export interface CompletionRequest {
  /** A store, or `store/task`; needed where several stores are served. */ readonly model?: string;
  readonly prompt: string | readonly string[];
  /** Default 16. */ readonly max_tokens?: number;
  readonly stream?: boolean;
  /** The likeliest token is taken each time. */ readonly temperature?: 0;
  readonly n?: 1;
  readonly user?: string;
}

/** Every route of the server as a call. */
export function operationsOf(send: Send) {
  return {
    /** Whether the process can go on. */
    live: (options?: CallOptions) => send.json<Health>({ method: "GET", path: `/health/live` }, options),

    /** Whether texts are answered. */
    ready: (options?: CallOptions) => send.json<Health>({ method: "GET", path: `/health/ready` }, options),

    /** As /health/ready, where text-embeddings-inference and vLLM have it. */
    health: (options?: CallOptions) => send.json<Health>({ method: "GET", path: `/health` }, options),

    /** What is served, and with which limits. */
    info: (options?: CallOptions) => send.json<Info>({ method: "GET", path: `/info` }, options),

    /** What was counted, for Prometheus. */
    metrics: (options?: CallOptions) => send.text({ method: "GET", path: `/metrics` }, options),

    /** Runs that are listed, the newest first. */
    runs: (options?: CallOptions) => send.json<Runs>({ method: "GET", path: `/runs` }, options),

    /** A run: its accuracies, its loss, and what happened. */
    run: (params: { readonly id: string }, options?: CallOptions) =>
      send.json<RunView>({ method: "GET", path: `/runs/${encodeURIComponent(params.id)}` }, options),

    /** A run as server-sent events, whenever it has come further, until it has ended. */
    runEvents: (params: { readonly id: string }, options?: CallOptions) =>
      send.events({ method: "GET", path: `/runs/${encodeURIComponent(params.id)}/events` }, options),

    /** Workers of the queue that is watched, and its jobs. */
    workers: (options?: CallOptions) => send.json<Queue>({ method: "GET", path: `/workers` }, options),

    /** Names of stores, page by page; none is opened for that. */
    stores: (params: { readonly after?: string; readonly limit?: number } = {}, options?: CallOptions) =>
      send.json<Stores>(
        { method: "GET", path: `/stores`, query: { after: params.after, limit: params.limit } },
        options,
      ),

    /** Label texts among everything learned, or within one task. */
    predict: (params: { readonly name: string }, body: PredictRequest, options?: CallOptions) =>
      send.json<Predictions>(
        { method: "POST", path: `/stores/${encodeURIComponent(params.name)}/predict`, body },
        options,
      ),

    /** Find entities in texts. */
    tag: (params: { readonly name: string }, body: PredictRequest, options?: CallOptions) =>
      send.json<TaggedTexts>(
        { method: "POST", path: `/stores/${encodeURIComponent(params.name)}/tag`, body },
        options,
      ),

    /** What a store knows, and what answers. */
    status: (params: { readonly name: string }, options?: CallOptions) =>
      send.json<StoreStatus>(
        { method: "GET", path: `/stores/${encodeURIComponent(params.name)}/status` },
        options,
      ),

    /** The versions that are kept, the newest first. */
    versions: (params: { readonly name: string }, options?: CallOptions) =>
      send.json<Versions>(
        { method: "GET", path: `/stores/${encodeURIComponent(params.name)}/versions` },
        options,
      ),

    /** Teach a task, or a class of a few examples. */
    learn: (
      params: { readonly name: string; readonly wait?: "true" | "false" },
      body: LearnRequest,
      options?: CallOptions,
    ) =>
      send.json<Job>(
        {
          method: "POST",
          path: `/stores/${encodeURIComponent(params.name)}/learn`,
          query: { wait: params.wait },
          body,
        },
        options,
      ),

    /** Forget a class or a task. */
    forget: (
      params: { readonly name: string; readonly wait?: "true" | "false" },
      body: ForgetRequest,
      options?: CallOptions,
    ) =>
      send.json<Job>(
        {
          method: "POST",
          path: `/stores/${encodeURIComponent(params.name)}/forget`,
          query: { wait: params.wait },
          body,
        },
        options,
      ),

    /** Go back to an earlier version. */
    rollback: (
      params: { readonly name: string; readonly wait?: "true" | "false" },
      body: RollbackRequest,
      options?: CallOptions,
    ) =>
      send.json<Job>(
        {
          method: "POST",
          path: `/stores/${encodeURIComponent(params.name)}/rollback`,
          query: { wait: params.wait },
          body,
        },
        options,
      ),

    /** Take in what another store learned. */
    merge: (
      params: { readonly name: string; readonly wait?: "true" | "false" },
      body: MergeRequest,
      options?: CallOptions,
    ) =>
      send.json<Job>(
        {
          method: "POST",
          path: `/stores/${encodeURIComponent(params.name)}/merge`,
          query: { wait: params.wait },
          body,
        },
        options,
      ),

    /** Teach texts with their right labels, all as one change. */
    correct: (
      params: { readonly name: string; readonly wait?: "true" | "false" },
      body: CorrectionsRequest,
      options?: CallOptions,
    ) =>
      send.json<Job>(
        {
          method: "POST",
          path: `/stores/${encodeURIComponent(params.name)}/corrections`,
          query: { wait: params.wait },
          body,
        },
        options,
      ),

    /** The changes of a store since the server was started. */
    jobs: (params: { readonly name: string }, options?: CallOptions) =>
      send.json<Jobs>({ method: "GET", path: `/stores/${encodeURIComponent(params.name)}/jobs` }, options),

    /** How a change is getting on. */
    job: (params: { readonly name: string; readonly id: string }, options?: CallOptions) =>
      send.json<Job>(
        {
          method: "GET",
          path: `/stores/${encodeURIComponent(params.name)}/jobs/${encodeURIComponent(params.id)}`,
        },
        options,
      ),

    /** Cancel a change: the store stays as it was. */
    cancelJob: (params: { readonly name: string; readonly id: string }, options?: CallOptions) =>
      send.json<Job>(
        {
          method: "DELETE",
          path: `/stores/${encodeURIComponent(params.name)}/jobs/${encodeURIComponent(params.id)}`,
        },
        options,
      ),

    /** A change's progress as server-sent events, until it has ended. */
    jobEvents: (params: { readonly name: string; readonly id: string }, options?: CallOptions) =>
      send.events(
        {
          method: "GET",
          path: `/stores/${encodeURIComponent(params.name)}/jobs/${encodeURIComponent(params.id)}/events`,
        },
        options,
      ),

    /** Classes and tasks: what is kept of them, and how often they were named. */
    classes: (params: { readonly name: string }, options?: CallOptions) =>
      send.json<Classes>(
        { method: "GET", path: `/stores/${encodeURIComponent(params.name)}/classes` },
        options,
      ),

    /** How well the classes of a version are told apart: each of its texts is answered by a fit without it. */
    quality: (
      params: { readonly name: string; readonly version?: number; readonly against?: number },
      options?: CallOptions,
    ) =>
      send.json<VersionQuality>(
        {
          method: "GET",
          path: `/stores/${encodeURIComponent(params.name)}/quality`,
          query: { version: params.version, against: params.against },
        },
        options,
      ),

    /** What corrections would do to held-out texts, without making the change. */
    preview: (params: { readonly name: string }, body: CorrectionsRequest, options?: CallOptions) =>
      send.json<Preview>(
        { method: "POST", path: `/stores/${encodeURIComponent(params.name)}/preview`, body },
        options,
      ),

    /** Classes that one version has and another has not, or with other texts. */
    differences: (
      params: { readonly name: string; readonly from?: number; readonly to?: number },
      options?: CallOptions,
    ) =>
      send.json<Differences>(
        {
          method: "GET",
          path: `/stores/${encodeURIComponent(params.name)}/differences`,
          query: { from: params.from, to: params.to },
        },
        options,
      ),

    /** A store's status as server-sent events, whenever it or its changes under way become others. */
    storeEvents: (params: { readonly name: string }, options?: CallOptions) =>
      send.events({ method: "GET", path: `/stores/${encodeURIComponent(params.name)}/events` }, options),

    /** Texts that were kept for review, the newest first. */
    kept: (
      params: {
        readonly name: string;
        readonly reason?: "unknown" | "correction" | "taught";
        readonly limit?: number;
      },
      options?: CallOptions,
    ) =>
      send.json<KeptTexts>(
        {
          method: "GET",
          path: `/stores/${encodeURIComponent(params.name)}/kept`,
          query: { reason: params.reason, limit: params.limit },
        },
        options,
      ),

    /** Kept texts that were unknown, those that are alike together. */
    keptGroups: (params: { readonly name: string }, options?: CallOptions) =>
      send.json<KeptGroups>(
        { method: "GET", path: `/stores/${encodeURIComponent(params.name)}/kept/groups` },
        options,
      ),

    /** Learned texts that are kept and most like one. */
    nearest: (params: { readonly name: string }, body: NearestRequest, options?: CallOptions) =>
      send.json<NearTexts>(
        { method: "POST", path: `/stores/${encodeURIComponent(params.name)}/kept/nearest`, body },
        options,
      ),

    /** Delete kept texts: one by its id, every copy of a text, or with neither all of them. */
    deleteKept: (params: { readonly name: string }, body: ForgetKeptRequest, options?: CallOptions) =>
      send.json<Removed>(
        { method: "POST", path: `/stores/${encodeURIComponent(params.name)}/kept/delete`, body },
        options,
      ),

    /** Label texts, as text-embeddings-inference does. */
    teiPredict: (body: TeiPredictRequest, options?: CallOptions) =>
      send.json<TeiPredictions>({ method: "POST", path: `/predict`, body }, options),

    /** Vectors of the frozen backbone, as text-embeddings-inference gives them. */
    embed: (body: TeiEmbedRequest, options?: CallOptions) =>
      send.json<Embeddings>({ method: "POST", path: `/embed`, body }, options),

    /** Find entities, as transformers' token classification gives them. */
    teiTag: (body: TagRequest, options?: CallOptions) =>
      send.json<TeiEntities>({ method: "POST", path: `/tag`, body }, options),

    /** Stores and, of open ones, their tasks, as models; page by page. */
    models: (params: { readonly after?: string; readonly limit?: number } = {}, options?: CallOptions) =>
      send.json<Models>(
        { method: "GET", path: `/v1/models`, query: { after: params.after, limit: params.limit } },
        options,
      ),

    /** Label texts, as vLLM does. */
    classify: (body: ClassifyRequest, options?: CallOptions) =>
      send.json<Classification>({ method: "POST", path: `/classify`, body }, options),

    /** Continue texts, where a store answers in words. */
    completions: (body: CompletionRequest, options?: CallOptions) =>
      send.json<Completion>({ method: "POST", path: `/v1/completions`, body }, options),
    /** As `completions` with `stream`: pieces as they come; the last one's data is [DONE]. */
    streamCompletions: (body: CompletionRequest, options?: CallOptions) =>
      send.events({ method: "POST", path: `/v1/completions`, body: { ...body, stream: true } }, options),
  };
}
