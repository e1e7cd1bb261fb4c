/** What the server's thread asks of the threads that hold the stores, and what they tell. */
import type { MessagePort } from "node:worker_threads";
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import type { NewTask, TaskTypeName } from "../../continual/taskTypes/taskType.ts";
import type { RunLevel } from "../../core/record.ts";
import type { LabelledExample } from "../../data/files/types.ts";
import type { Change, ChangeEvent, Corrected, LearnedSummary, Merged } from "../../model/changes.ts";
import type { Completion } from "../../model/continualModel.ts";
import type { ForgetTarget } from "../../model/forgetting.ts";
import type { Text } from "../../model/teachable.ts";
import type { StoreClassInfo, StoreInfo, StoreTaskInfo, StoreVersionInfo } from "../../store/info.ts";
import type { Compared, Preview, Quality } from "../../store/quality.ts";
import type { StoresAt } from "../../store/sources/openSource.ts";
import type { ForgottenInStore, StoreStatus } from "../../store/store.ts";
import type { Holding } from "./openStores.ts";

/** A store as the server sees it; no path of the machine is in it. */
export interface Snapshot {
  readonly store: string;
  /** Tells one opening of the store from the next. */
  readonly opening: number;
  readonly taskType: TaskTypeName;
  readonly level: RunLevel;
  readonly backbone: { readonly name: string; readonly hash: string };
  readonly tasks: readonly { readonly name: string; readonly labels: readonly string[] }[];
  /** Sorted by code unit. */
  readonly classes: readonly string[];
  readonly status: StoreStatus;
  /** What a text is put into before it is continued; of stores that answer in words. */
  readonly prompt?: string;
  /** Why the newest version could not be taken up; the one before answers. */
  readonly problem?: string;
}

interface Asked {
  readonly store: string;
}

/** A page of a long list. */
export interface NamesAsked {
  /** Names behind this one, which need not be there. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface Names {
  /** Sorted by code unit. */
  readonly names: readonly string[];
  readonly hasMore: boolean;
}

export interface AskOptions {
  readonly task?: string | undefined;
  readonly exact?: boolean | undefined;
  readonly top?: number | undefined;
  readonly coverage?: number | undefined;
}

export type { Quality };

export interface VersionQuality {
  readonly version: number;
  /** Absent where nothing can be judged. */
  readonly quality?: Quality;
  readonly compared?: Compared;
}

export type Described = Pick<StoreInfo, "version" | "statisticsBytes"> & {
  readonly classes: readonly StoreClassInfo[];
  readonly tasks: readonly Pick<
    StoreTaskInfo,
    "name" | "labels" | "kind" | "rows" | "statisticsBytes" | "forgotten"
  >[];
};

/** Texts of a class in two versions; 0 where it is not there. */
export interface ClassDifference {
  readonly label: string;
  readonly before: number;
  readonly after: number;
}

interface Call<A, R> {
  readonly args: A;
  readonly result: R;
}

/** Every call by its name: what it is given, and what it gives. */
export interface Calls {
  predict: Call<Asked & { readonly texts: readonly Text[]; readonly options: AskOptions }, Prediction[]>;
  tag: Call<Asked & { readonly texts: readonly Text[]; readonly options: AskOptions }, TaggedText[]>;
  embed: Call<Asked & { readonly texts: readonly Text[] }, Float32Array[]>;
  count: Call<Asked & { readonly texts: readonly string[] }, readonly number[]>;
  generate: Call<
    Asked & {
      readonly prompts: readonly string[];
      readonly task?: string | undefined;
      readonly maxNewTokens: number;
    },
    Completion[]
  >;
  /** Names of stores, open or not. */
  names: Call<NamesAsked, Names>;
  /** Opens a store where it is not open, and looks for a newer version where it is. */
  open: Call<Asked, Snapshot>;
  /** Takes up the newest version, whoever made it. @throws where it cannot be */
  refresh: Call<Asked, Snapshot>;
  versions: Call<Asked, readonly StoreVersionInfo[]>;
  /** What a version's kept rows say of how well its classes are told apart, and of the same texts under another version. */
  quality: Call<
    Asked & { readonly version?: number | undefined; readonly against?: number | undefined },
    VersionQuality
  >;
  /** What corrections would do, without making the change. */
  preview: Call<Asked & { readonly corrections: readonly LabelledExample[] }, Preview>;
  /** Classes and tasks with what is kept of them. */
  describe: Call<Asked, Described>;
  /** Classes that one version has and another has not, or with other texts. */
  differences: Call<Asked & { readonly from: number; readonly to: number }, readonly ClassDifference[]>;
  learn: Call<Asked & { readonly task: NewTask; readonly statisticsOnly: boolean }, LearnedSummary>;
  learnClass: Call<
    Asked & {
      readonly label: string;
      readonly texts: readonly string[];
      readonly task?: string | undefined;
    },
    LearnedSummary
  >;
  correct: Call<Asked & { readonly corrections: readonly LabelledExample[] }, Corrected>;
  forget: Call<Asked & { readonly target: ForgetTarget; readonly purge: boolean }, ForgottenInStore>;
  rollback: Call<Asked & { readonly to?: number | undefined }, Change>;
  /** `other` is the name of a store that is served, too. */
  merge: Call<Asked & { readonly other: string }, Merged>;
}

export type CallName = keyof Calls;
export type Args<C extends CallName> = Calls[C]["args"];
export type Result<C extends CallName> = Calls[C]["result"];

/** Goes to the worker; answers come back through the port. */
export type Request<C extends CallName = CallName> = {
  readonly [K in C]: { readonly call: K; readonly args: Args<K>; readonly port: MessagePort };
}[C];

/** An error on its way between threads. */
export interface CarriedError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Of the failed call of the operating system below it. */
  readonly errno?: string | undefined;
}

/** What comes through the port of a call; a text is what was generated so far of a prompt. */
export type Told<C extends CallName> =
  | { readonly type: "event"; readonly event: CallEvent }
  | { readonly type: "done"; readonly result: Result<C> }
  | { readonly type: "failed"; readonly error: CarriedError };

export type CallEvent =
  | ChangeEvent
  | { readonly type: "generated"; readonly prompt: number; readonly text: string };

/** What a worker tells by itself. */
export type Announcement =
  | { readonly type: "opened" }
  | { readonly type: "failed"; readonly error: CarriedError }
  | { readonly type: "snapshot"; readonly snapshot: Snapshot }
  | { readonly type: "holding"; readonly holding: Holding }
  | { readonly type: "ended" };

/** What the worker begins with. */
export interface EngineData {
  readonly stores: StoresAt;
  /** Whether the stores are changed here; then nothing is opened before it is needed, and nothing polled. */
  readonly changes: boolean;
  /** Whether the consolidated router is fitted once nothing has changed for a while. */
  readonly consolidates: boolean;
  /** Where the backbone lies now. */
  readonly backbone?: string | undefined;
  /** Memory that open stores may take here, besides their backbones. */
  readonly memoryBytes: number;
  readonly pollMs: number;
  readonly waitSeconds: number;
}
