import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { StoreError } from "../../../src/core/errors.ts";
import type { RunEvent } from "../../../src/core/record.ts";
import { buildRunRecord, parseEvents, readRunRecord } from "../../../src/report/record/record.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { syntheticEvents } from "../../support/records.ts";

const jsonl = (events: readonly unknown[]) => events.map((event) => `${JSON.stringify(event)}\n`).join("");

describe("parseEvents", () => {
  const events = syntheticEvents({ tasks: 2, stepsPerTask: 6, epochs: 2, warnings: ["a note"] });

  it("reads back every type of event unchanged", () => {
    const all: RunEvent[] = [
      ...events,
      { time: "2026-03-03T10:00:00.000Z", type: "run-resumed", finishedTasks: 2 },
    ];
    expect(new Set(all.map((event) => event.type)).size).toBe(9);
    expect(parseEvents(jsonl(all))).toEqual(all);
  });

  it("skips a last line that a killed writer left torn, at whatever byte", () => {
    const whole = jsonl(events.slice(0, 3));
    const torn = JSON.stringify(events[3]);
    for (let length = 0; length < torn.length; length++)
      expect(parseEvents(whole + torn.slice(0, length))).toEqual(events.slice(0, 3));
    expect(parseEvents(whole + torn)).toEqual(events.slice(0, 4));
  });

  it("refuses any other bad line by its number", () => {
    const [first, second] = [JSON.stringify(events[0]), JSON.stringify(events[1])];
    expect(() => parseEvents(`${first}\n${second.slice(0, 20)}\n${second}\n`)).toThrow(
      /events\.jsonl, line 2: not JSON: "\{\\"time\\"/,
    );
    // With its line break the last line was written whole: then it is damaged, not torn.
    expect(() => parseEvents(`${first}\n${second.slice(0, 20)}\n`)).toThrow("line 2: not JSON");
    const step = JSON.stringify({ ...events.find((event) => event.type === "step"), loss: "low" });
    expect(() => parseEvents(`${first}\n${step}\n`)).toThrow(/line 2: not a run event: loss: /);
    expect(() => parseEvents(`${first}\n{"time":"2026-03-03T10:00:00Z","type":"party"}\n`)).toThrow(
      /line 2: not a run event: type: /,
    );
    expect(() => parseEvents("null\n")).toThrow(StoreError);
  });

  it("drops keys it does not know", () => {
    const known: RunEvent = { time: "2026-03-03T10:00:00.000Z", type: "warning", message: "x" };
    expect(parseEvents(jsonl([{ ...known, colour: "red" }]))).toEqual([known]);
  });
});

describe("buildRunRecord", () => {
  it("takes the last of repeated tasks, steps, epochs and warnings of a resumed run", () => {
    const interrupted = syntheticEvents({ tasks: 3, stepsPerTask: 20, stopIn: 1, warnings: ["cut"] });
    const whole = syntheticEvents({ tasks: 3, stepsPerTask: 20, warnings: ["cut"] });
    const changed = whole.map((event) =>
      event.type === "step" ? { ...event, loss: event.loss + 10 } : event,
    );
    const again = changed.slice(
      changed.findIndex((event) => event.type === "task-started" && event.task === 1),
    );
    const resumed: RunEvent = { time: "2026-03-03T10:00:00.000Z", type: "run-resumed", finishedTasks: 1 };
    const warning: RunEvent = { time: "2026-03-03T10:00:00.000Z", type: "warning", message: "cut" };
    const record = buildRunRecord([...interrupted, resumed, warning, ...again]);
    expect(record.resumes).toBe(1);
    expect(record.warnings).toEqual(["cut"]);
    expect(record.tasks.map((task) => task.steps.length)).toEqual([20, 20, 20]);
    expect(record.tasks[0]?.steps.every((step) => step.loss < 10)).toBe(true);
    expect(record.tasks[1]?.steps.every((step) => step.loss > 10)).toBe(true);
    expect(record.tasks[1]?.epochs.map((epoch) => epoch.epoch)).toEqual([0, 1, 2, 3, 4]);
    expect(record.metrics).toBeDefined();
  });

  it("puts steps in order where a repeated task was recorded at other steps", () => {
    const events = syntheticEvents({ tasks: 1, stepsPerTask: 10 });
    const steps = events.filter((event) => event.type === "step");
    const odd = steps.filter((event) => event.step % 2 === 1);
    const even = steps.filter((event) => event.step % 2 === 0);
    const rest = events.filter((event) => event.type !== "step");
    const record = buildRunRecord([...rest, ...odd, ...even]);
    expect(record.tasks[0]?.steps.map((step) => step.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("shows an unfinished run's rows so far and the tasks still to come", () => {
    const record = buildRunRecord(syntheticEvents({ tasks: 5, stepsPerTask: 10, stopIn: 2 }));
    expect(record.metrics).toBeUndefined();
    expect(record.tasks).toHaveLength(5);
    expect(record.tasks[4]?.labels).toHaveLength(10);
    expect(record.tasks[4]?.started).toBeUndefined();
    expect(record.cil).toHaveLength(2);
    expect(record.cil[0]?.[1]).toBeNull();
    expect(record.cil[1]?.[0]).toBe(record.tasks[1]?.evaluated?.cil[0]);
  });

  it("refuses events without a beginning", () => {
    expect(() => buildRunRecord([])).toThrow("no run-started event");
  });
});

describe("readRunRecord", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  const events = syntheticEvents({ tasks: 2, stepsPerTask: 4 });
  const finished = events.at(-1);
  const metrics = finished?.type === "run-finished" ? finished.metrics : undefined;

  it("reads a finished run", async () => {
    await writeFile(join(folder, "events.jsonl"), jsonl(events.slice(0, -1)));
    await writeFile(join(folder, "metrics.json"), JSON.stringify(metrics));
    expect(await readRunRecord(folder)).toEqual({
      ...buildRunRecord(events),
      lastEventAt: events.at(-2)?.time,
    });
  });

  it("reads a run without metrics as unfinished", async () => {
    await writeFile(join(folder, "events.jsonl"), jsonl(events.slice(0, -1)));
    expect((await readRunRecord(folder)).metrics).toBeUndefined();
  });

  it("names a missing or damaged file", async () => {
    await expect(readRunRecord(folder)).rejects.toThrow("no events.jsonl");
    await writeFile(join(folder, "events.jsonl"), jsonl(events));
    await writeFile(join(folder, "metrics.json"), "{");
    await expect(readRunRecord(folder)).rejects.toThrow(/metrics\.json: not JSON/);
    await writeFile(join(folder, "metrics.json"), JSON.stringify({ ...metrics, schemaVersion: 2 }));
    await expect(readRunRecord(folder)).rejects.toThrow(/metrics\.json: not a run's metrics: schemaVersion/);
  });
});
