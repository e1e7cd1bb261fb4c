/** What a server counts, for Prometheus. */
import {
  Counter,
  type CounterConfiguration,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type LabelValues,
  Registry,
} from "prom-client";
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import type { Holding } from "../engine/openStores.ts";
import type { Snapshot } from "../engine/protocol.ts";
import type { ChangeKind, JobState } from "./jobs.ts";

const seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/** From opening a store of few classes to one that a slow disk has. */
const openingSeconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const routerStates = ["immediate", "consolidated", "none"] as const;

/** A counter with series for each store. */
class StoreCounter {
  private readonly counter: Counter;
  /** Labels of each store's series. */
  private readonly series = new Map<string, Map<string, LabelValues<string>>>();

  constructor(options: CounterConfiguration<string>) {
    this.counter = new Counter(options);
  }

  inc(labels: Readonly<Record<string, string>> & { readonly store: string }, by = 1): void {
    this.counter.inc(labels, by);
    const own = this.series.get(labels.store) ?? new Map<string, LabelValues<string>>();
    this.series.set(labels.store, own);
    own.set(Object.values(labels).join("\n"), labels);
  }

  forget(store: string): void {
    for (const labels of this.series.get(store)?.values() ?? []) this.counter.remove(labels);
    this.series.delete(store);
  }
}

export class Metrics {
  readonly registry = new Registry();
  private readonly registers = [this.registry];
  readonly requests = new Counter({
    name: "accrete_http_requests_total",
    help: "Requests that were answered, by route, method and status.",
    labelNames: ["route", "method", "status"],
    registers: this.registers,
  });
  readonly latency = new Histogram({
    name: "accrete_http_request_seconds",
    help: "From the last byte of a request's head to its answer.",
    labelNames: ["route"],
    buckets: seconds,
    registers: this.registers,
  });
  readonly queueTime = new Histogram({
    name: "accrete_queue_seconds",
    help: "How long a text waited for its batch.",
    buckets: seconds,
    registers: this.registers,
  });
  readonly batchTexts = new Histogram({
    name: "accrete_batch_texts",
    help: "Texts of a batch.",
    buckets: sizes,
    registers: this.registers,
  });
  readonly batchTokens = new Histogram({
    name: "accrete_batch_tokens",
    help: "Tokens of a batch as they are reckoned from characters.",
    buckets: sizes,
    registers: this.registers,
  });
  private readonly texts = new StoreCounter({
    name: "accrete_texts_total",
    help: "Texts that were answered, by the task that answered.",
    labelNames: ["store", "task"],
    registers: this.registers,
  });
  private readonly passes = new StoreCounter({
    name: "accrete_passes_total",
    help: "Forward passes of the backbone that answered texts cost.",
    labelNames: ["store", "task"],
    registers: this.registers,
  });
  private readonly unknown = new StoreCounter({
    name: "accrete_unknown_texts_total",
    help: "Texts that are likelier of no class learned, or were given no label.",
    labelNames: ["store"],
    registers: this.registers,
  });
  private readonly changes = new StoreCounter({
    name: "accrete_changes_total",
    help: "Changes of stores, by kind and how they ended.",
    labelNames: ["store", "kind", "state"],
    registers: this.registers,
  });
  private readonly version = new Gauge({
    name: "accrete_store_version",
    help: "The version that answers.",
    labelNames: ["store"],
    registers: this.registers,
  });
  private readonly classes = new Gauge({
    name: "accrete_store_classes",
    help: "Classes that a store knows.",
    labelNames: ["store"],
    registers: this.registers,
  });
  private readonly router = new Gauge({
    name: "accrete_store_router",
    help: "1 for the router that answers.",
    labelNames: ["store", "router"],
    registers: this.registers,
  });

  private readonly open = new Gauge({
    name: "accrete_open_stores",
    help: "Stores that are open, by the thread that holds them.",
    labelNames: ["thread"],
    registers: this.registers,
  });
  private readonly openBytes = new Gauge({
    name: "accrete_open_stores_bytes",
    help: "Memory that open stores take besides their backbones.",
    labelNames: ["thread"],
    registers: this.registers,
  });
  private readonly opening = new Histogram({
    name: "accrete_store_open_seconds",
    help: "How long it took to open a store, from being asked for it.",
    labelNames: ["thread"],
    buckets: openingSeconds,
    registers: this.registers,
  });
  private readonly evictions = new Counter({
    name: "accrete_store_evictions_total",
    help: "Stores that were closed because open ones took more memory than they may.",
    labelNames: ["thread"],
    registers: this.registers,
  });
  /** @param queued texts that are waiting now */
  constructor(queued: () => number) {
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: "accrete_queued_texts",
      help: "Texts that wait for a batch.",
      registers: this.registers,
      collect() {
        this.set(queued());
      },
    });
  }

  seen({ store, status, classes }: Snapshot): void {
    this.version.set({ store }, status.version);
    this.classes.set({ store }, classes.length);
    for (const router of routerStates)
      this.router.set({ store, router }, router === (status.router ?? "none") ? 1 : 0);
  }

  answered(store: string, answers: readonly (Prediction | TaggedText)[]): void {
    for (const answer of answers) {
      const task = "task" in answer ? answer.task : "";
      this.texts.inc({ store, task });
      this.passes.inc({ store, task }, answer.passes);
      if (isUnknown(answer)) this.unknown.inc({ store });
    }
  }

  changed(store: string, kind: ChangeKind, state: JobState): void {
    this.changes.inc({ store, kind, state });
  }

  holds(thread: "answers" | "changes", { open, bytes, openedIn, closed }: Holding): void {
    this.open.set({ thread }, open);
    this.openBytes.set({ thread }, bytes);
    if (openedIn !== undefined) this.opening.observe({ thread }, openedIn);
    if (closed?.forRoom === true) this.evictions.inc({ thread });
  }

  /** Lets go of what is told of a store, so that nothing grows with the number of stores that were ever open. */
  forget(store: string): void {
    for (const gauge of [this.version, this.classes]) gauge.remove({ store });
    for (const router of routerStates) this.router.remove({ store, router });
    for (const counter of [this.texts, this.passes, this.unknown, this.changes]) counter.forget(store);
  }
}

/** A text is likelier of no class learned than of one, or was given no label for that. */
export function isUnknown(answer: Prediction | TaggedText): boolean {
  return "label" in answer && (answer.label === null || (answer.unknown ?? 0) > 0.5);
}
