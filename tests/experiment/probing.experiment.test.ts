/** Probing as a part of a run, on the tiny random model. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { computeProbing } from "../../src/core/probing.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { renderHtml } from "../../src/report/html.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { issuesOf } from "../support/errors.ts";
import { configAt, finishOf, sentenceMetrics, TinyRuns } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const runs = new TinyRuns({ "training.epochs": 1 });
const { root } = runs;

beforeAll(() => runs.furnish(writeTinyExperiment));

const run = (name: string, probing: unknown, stopAfter: (event: RunEvent) => boolean = () => false) =>
  runs.run(name, { probing }, { resume: true, stopAfter });

const probedIn = (events: readonly RunEvent[]) => events.filter((event) => event.type === "probed");

const probingOf = (events: readonly RunEvent[]) => sentenceMetrics(finishOf(events)).probing;

describe("a run that probes", () => {
  let events: RunEvent[] = [];
  beforeAll(async () => {
    events = await run("whole", ["prototype", "cosine-prototype"]);
  });

  test("probes before the first task and after each, and keeps it in events, metrics and report", async () => {
    const order = events.flatMap<number | string>((event) =>
      event.type === "probed" ? [event.learned] : event.type === "task-started" ? ["task"] : [],
    );
    expect(order).toEqual([0, "task", 1, "task", 2, "task", 3]);
    const probing = probingOf(events);
    expect(Object.keys(probing ?? {})).toEqual(["prototype", "cosine-prototype"]);
    expect(probing?.prototype).toEqual(probedIn(events).map(({ accuracies }) => accuracies.prototype));
    expect(probing?.prototype?.map((row) => row.length)).toEqual([3, 3, 3, 3]);
    const file: unknown = JSON.parse(await readFile(join(root, "whole", "metrics.json"), "utf8"));
    expect(file).toHaveProperty("probing", probing);
    const record = await readRunRecord(join(root, "whole"));
    expect(record.probing).toEqual(probing);
    expect(renderHtml(record)).toContain('<section id="probes">');
  });

  test("an adapter's features are not the backbone's", () => {
    const rows = probedIn(events).map(({ accuracies }) => JSON.stringify(accuracies));
    expect(rows.slice(1).some((row) => row !== rows[0])).toBe(true);
  });

  test("interrupted before or after a probing ends the same", async () => {
    const kinds = ["prototype", "cosine-prototype"];
    const before = await run("resumed", kinds, ({ type }) => type === "evaluated");
    expect(probedIn(before).map(({ learned }) => learned)).toEqual([0]);
    const then = await run("resumed", kinds, (event) => event.type === "probed" && event.learned === 1);
    expect(probedIn(then).map(({ learned }) => learned)).toEqual([1]);
    const rest = await run("resumed", kinds);
    expect(probedIn(rest).map(({ learned }) => learned)).toEqual([2, 3]);
    expect(probingOf(rest)).toEqual(probingOf(events));
  });
});

test("a run with probing: false probes nothing", async () => {
  const events = await run("none", false);
  expect(probedIn(events)).toEqual([]);
  expect(probingOf(events)).toBeUndefined();
  expect(renderHtml(await readRunRecord(join(root, "none")))).not.toContain('<section id="probes">');
});

test("of an unfinished run the rows so far are shown", () => {
  const row = (learned: number, linear: readonly number[]) =>
    ({ type: "probed", learned, accuracies: { linear }, seconds: 1 }) as const;
  expect(computeProbing([row(1, [0.5]), row(0, [0.25]), row(3, [0]), row(0, [1])])).toEqual({
    linear: [[1], [0.5]],
  });
  expect(computeProbing([row(1, [0.5])])).toBeUndefined();
});

test("the setting: true is every kind, a list those named, in the table's order", () => {
  expect(configAt("/", { probing: true }).probing).toEqual([
    "linear",
    "cosine",
    "prototype",
    "cosine-prototype",
  ]);
  expect(configAt("/", { probing: ["prototype", "linear", "linear"] }).probing).toEqual([
    "linear",
    "prototype",
  ]);
  expect(configAt("/", { probing: false }).probing).toEqual([]);
  expect(configAt("/").probing).toBeUndefined();
});

test.each([
  ["a kind that is none", { probing: ["linar"] }, "probing.0"],
  ["without a head", { probing: true, head: "none" }, "probing"],
  [
    "at word level",
    { probing: true, level: "word", stream: { train: "a.conll", test: "b.conll", base: 1 } },
    "probing",
  ],
])("%s is refused", async (_, changes, path) => {
  const issues = await issuesOf(() => configAt("/", changes));
  expect(issues.map((issue) => issue.path)).toContain(path);
});
