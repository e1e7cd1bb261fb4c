/** What a server counts, for Prometheus. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import type { Snapshot } from "../engine/protocol.ts";

const seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
const routerStates = ["immediate", "consolidated", "none"] as const;

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
  private readonly texts = new Counter({
    name: "accrete_texts_total",
    help: "Texts that were answered, by the task that answered.",
    labelNames: ["store", "task"],
    registers: this.registers,
  });
  private readonly passes = new Counter({
    name: "accrete_passes_total",
    help: "Forward passes of the backbone that answered texts cost.",
    labelNames: ["store", "task"],
    registers: this.registers,
  });
  private readonly unknown = new Counter({
    name: "accrete_unknown_texts_total",
    help: "Texts that are likelier of no class learned, or were given no label.",
    labelNames: ["store"],
    registers: this.registers,
  });
  readonly changes = new Counter({
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
}

/** A text is likelier of no class learned than of one, or was given no label for that. */
export function isUnknown(answer: Prediction | TaggedText): boolean {
  return "label" in answer && (answer.label === null || (answer.unknown ?? 0) > 0.5);
}
