import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseOverride } from "../../../config/overrides.ts";
import type { ModelConfig } from "../../../config/schema.ts";
import type { RunLevel } from "../../../core/record.ts";
import type { ChangeEvent, LearnedSummary } from "../../../model/changes.ts";
import { OUTSIDE_TASK } from "../../../model/state.ts";
import type { Text } from "../../../model/teachable.ts";
import type { StoreOptions } from "../../../store/opening.ts";
import type { Store } from "../../../store/store.ts";
import { StoppedError, UsageError } from "../../terminal/failure.ts";
import { formatBytes, formatDuration } from "../../terminal/format.ts";
import { Interrupt } from "../../terminal/interrupt.ts";
import { StoreProgress } from "../../terminal/storeProgress.ts";
import type { Terminal } from "../../terminal/terminal.ts";
import { consolidate } from "./consolidate.ts";

export interface LearnFlags {
  readonly task?: string;
  readonly class?: string;
  readonly validation?: string;
  /** A file of texts of none of the classes. */
  readonly outside?: string;
  readonly statisticsOnly?: boolean;
  /** An adapter's folder, taken in as a task. */
  readonly adapter?: string;
  /** Names of its classes: between commas, or a file with one a line. */
  readonly labels?: string;
  /** Begins the store where there is none; otherwise where the backbone lies now. */
  readonly backbone?: string;
  /** Fits the router that takes over, too. */
  readonly consolidate?: boolean;
  readonly set?: readonly string[];
  readonly wait?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** What is asked for, checked before anything is loaded. */
type Wish =
  | {
      readonly what: "task";
      readonly name: string;
      readonly data: string;
    }
  | {
      readonly what: "adapter";
      readonly name: string;
      readonly folder: string;
      readonly labels?: readonly string[];
    }
  | { readonly what: "outside"; readonly file: string }
  | {
      readonly what: "class";
      readonly label: string;
      readonly texts: readonly string[];
      readonly task?: string;
    };

/** One label a line, or between commas. */
function readLabels(text: string): readonly string[] {
  const lines = existsSync(text) ? readFileSync(text, "utf8").split("\n") : text.split(",");
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

function readAdapterWish(words: readonly string[], flags: LearnFlags, folder: string): Wish {
  const { class: label, validation, statisticsOnly } = flags;
  if (words.length > 0 || label !== undefined || validation !== undefined || statisticsOnly === true)
    throw new UsageError("learn --adapter: takes an adapter as it is, and no data", {
      hint: "accrete learn <store> --adapter <folder> --task name --labels a,b,c",
    });
  return {
    what: "adapter",
    name: flags.task ?? basename(resolve(folder)),
    folder,
    ...(flags.labels !== undefined && { labels: readLabels(flags.labels) }),
  };
}

function readWish(words: readonly string[], flags: LearnFlags): Wish {
  if (flags.outside !== undefined) {
    const { task, class: label, adapter, labels, validation, statisticsOnly } = flags;
    if (
      words.length > 0 ||
      [task, label, adapter, labels, validation, statisticsOnly].some((flag) => flag !== undefined)
    )
      throw new UsageError("learn --outside: takes a file of texts of no class, and nothing else", {
        hint: "accrete learn <store> --outside texts.txt",
      });
    return { what: "outside", file: flags.outside };
  }
  if (flags.adapter !== undefined) return readAdapterWish(words, flags, flags.adapter);
  if (flags.labels !== undefined)
    throw new UsageError("learn --labels: names the classes of an adapter", {
      hint: "Add --adapter <folder>, or leave --labels out: data has its own labels.",
    });
  if (flags.class !== undefined) {
    if (flags.validation !== undefined || flags.statisticsOnly === true)
      throw new UsageError("learn --class: takes examples as words, and trains nothing", {
        hint: "Leave --validation and --statistics-only out.",
      });
    if (words.length === 0)
      throw new UsageError("learn --class: no example to learn it from", {
        hint: 'accrete learn <store> --class name "an example" "another"',
      });
    const { task } = flags;
    return { what: "class", label: flags.class, texts: words, ...(task !== undefined && { task }) };
  }
  if (flags.task === undefined)
    throw new UsageError("learn: neither --task nor --class nor --adapter nor --outside", {
      hint: 'accrete learn <store> --task name data.jsonl, or --class name "an example" "another"',
    });
  const [data, ...more] = words;
  if (data === undefined || more.length > 0)
    throw new UsageError(`learn --task: expected one data file, got ${words.length}`, {
      hint: "accrete learn <store> --task name data.jsonl; a file of {text, label} lines or CSV, of words CoNLL.",
    });
  return { what: "task", name: flags.task, data };
}

/** What gets a label in the store that is there, or in the one that is to begin. */
async function levelOf(folder: string, { create, overrides = [] }: StoreOptions): Promise<RunLevel> {
  const { loadModelSettings, readModelSettings } = await import("../../../model/settings/settings.ts");
  if (create !== undefined) return (await loadModelSettings(create, "the store's settings", overrides)).level;
  await (await import("../../../workspace/reading.ts")).readStore(folder);
  return (await readModelSettings(folder)).level;
}

/** The settings of a new store that takes in an adapter. */
async function adapterSettings(wish: Wish, backbone: string): Promise<Partial<ModelConfig>> {
  if (wish.what !== "adapter") return {};
  const { readSavedAdapter } = await import("../../../store/openRun.ts");
  const { settingsOfAdapter } = await import("../../../model/settings/adapterSettings.ts");
  const { folder, labels } = wish;
  return settingsOfAdapter(await readSavedAdapter(folder, { backbone, ...(labels && { labels }) }), folder);
}

async function openFlags(
  folder: string,
  wish: Wish,
  { backbone, set = [] }: LearnFlags,
): Promise<StoreOptions> {
  if (existsSync(join(folder, "manifest.json"))) {
    if (set.length > 0)
      throw new UsageError("learn --set: the store's settings were fixed when it was begun", {
        hint: "Leave --set out; config.resolved.yaml in the store has the settings.",
      });
    return backbone === undefined ? {} : { backbone };
  }
  if (backbone === undefined) return {};
  const settings = await adapterSettings(wish, backbone);
  return { create: { ...settings, backbone }, overrides: set.map((text) => parseOverride(text)) };
}

interface Watch {
  readonly onEvent: (event: ChangeEvent) => void;
  readonly signal: AbortSignal;
}

/** Texts of a file of {text} lines, CSV or Parquet; of any other one a line. */
async function readOutside(file: string): Promise<readonly Text[]> {
  const { extensionOf, rowExtensions } = await import("../../../data/files/rows.ts");
  const { collect, readTexts } = await import("../../../data/files/readers.ts");
  if (rowExtensions().includes(extensionOf(file))) return await collect(readTexts(file));
  const { readLines } = await import("../../../data/files/lines.ts");
  const lines = await collect(readLines(file));
  return lines.map(({ text }) => text.trim()).filter((text) => text !== "");
}

/** Reads what is to be learned, so that a store is neither begun nor opened for a file that cannot be read. */
async function readLesson(
  wish: Wish,
  flags: LearnFlags,
  level: RunLevel,
): Promise<(store: Store, watch: Watch) => Promise<LearnedSummary>> {
  if (wish.what === "adapter") {
    const { name, folder, labels } = wish;
    return (store, watch) => store.loadAdapter(name, folder, { ...watch, ...(labels && { labels }) });
  }
  if (wish.what === "outside") {
    const texts = await readOutside(wish.file);
    return (store, watch) => store.learnOutside(texts, watch);
  }
  if (wish.what === "class") {
    if (level === "word")
      throw new UsageError(
        "learn --class: this store tags words, and an entity type is not learned from texts alone",
        {
          hint: "accrete learn <store> --task name file.conll, with sentences in which the type is tagged.",
        },
      );
    const task = wish.task === undefined ? {} : { task: wish.task };
    return (store, watch) => store.learnClass(wish.label, wish.texts, { ...watch, ...task });
  }
  const { readLabelled } = await import("../../../data/files/items.ts");
  const train = await readLabelled(wish.data, level);
  const validation = flags.validation === undefined ? undefined : await readLabelled(flags.validation, level);
  const task = { name: wish.name, train: train.items, validation: validation?.items };
  const statisticsOnly = flags.statisticsOnly === true;
  return (store, watch) => {
    for (const message of [...train.notes, ...(validation?.notes ?? [])])
      watch.onEvent({ type: "note", message });
    return store.learn(task, { ...watch, statisticsOnly });
  };
}

function report(learned: LearnedSummary, flags: LearnFlags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out(`${JSON.stringify(learned)}\n`);
    return;
  }
  const { version, task, classes, seconds, truncatedTexts, statisticsBytes } = learned;
  const what =
    task === OUTSIDE_TASK
      ? "texts of no class"
      : `task ${task}, ${classes.length} ${classes.length === 1 ? "class" : "classes"}`;
  const cut = truncatedTexts === 0 ? "" : `, ${truncatedTexts} texts cut to maxLength`;
  const time = seconds < 1 ? `${Math.round(1000 * seconds)} ms` : formatDuration(seconds);
  terminal.out(
    `version ${version}: ${what}, ` +
      `learned in ${time}, ${formatBytes(statisticsBytes)} of statistics${cut}\n`,
  );
  terminal.out(formatGain(learned));
}

/** What the adapter brings, in words. */
function formatGain({ loss, gain }: LearnedSummary): string {
  if (loss === undefined) return "";
  if (gain === undefined)
    return "no text was held out: what the adapter gains over frozen features is unknown\n";
  const { heldOut, adapter, frozen } = gain;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const verdict = adapter > frozen ? "" : "; it gains nothing: --statistics-only would do as well";
  return `on ${heldOut} held-out texts of the task: ${percent(adapter)} by the adapter, ${percent(frozen)} by frozen features alone${verdict}\n`;
}

export async function learnCommand(
  folder: string,
  words: readonly string[],
  flags: LearnFlags,
  terminal: Terminal,
): Promise<void> {
  const wish = readWish(words, flags);
  const opening = await openFlags(folder, wish, flags);
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const progress = new StoreProgress(terminal);
  const onEvent = (event: ChangeEvent): void => {
    if (flags.quiet !== true || event.type === "note") progress.print(event);
  };
  try {
    const { openStore } = await import("../../../store/store.ts");
    const teach = await readLesson(wish, flags, await levelOf(folder, opening));
    await using store = await openStore(folder, {
      ...opening,
      background: false,
      waitSeconds: flags.wait,
      signal,
    });
    const learned = await teach(store, { onEvent, signal });
    progress.clear();
    report(learned, flags, terminal);
    if (flags.consolidate === true) await consolidate(store, flags, terminal, signal);
  } catch (error) {
    // A store that this command began, and could not teach, was none of the reader's wishes; the first error is told.
    if (opening.create !== undefined)
      await (await import("../../../store/create.ts")).removeIfEmpty(folder).catch(() => {});
    if (!signal.aborted) throw error;
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError("learn: stopped; the store is as it was", "Type the same command again.");
  } finally {
    progress.clear();
  }
}
