import { appendFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import type { RunEventBody } from "../../src/core/record.ts";
import { predictionsFile, readPredictions } from "../../src/experiment/predictions.ts";
import { Recorder } from "../../src/experiment/recorder.ts";
import type { RecordedPrediction } from "../../src/model/evaluator.ts";
import { parseEvents } from "../../src/report/record/record.ts";
import { temporaryFolder } from "../support/folders.ts";
import { at, evaluatedEvent, metrics, started, stepEvent, syntheticEvents } from "../support/records.ts";

async function record(folder: string, bodies: readonly RunEventBody[], firstSecond = 0): Promise<void> {
  await using recorder = await Recorder.open(folder);
  for (const [i, body] of bodies.entries()) await recorder.record(at(firstSecond + i, body));
}

const readEvents = async (folder: string) =>
  parseEvents(await readFile(join(folder, "events.jsonl"), "utf8"));
const read = (folder: string, name: string) => readFile(join(folder, name), "utf8");

describe("events.jsonl", () => {
  test("has each event on disk when record returns", async () => {
    const folder = await temporaryFolder();
    await using recorder = await Recorder.open(folder);
    await recorder.record(at(0, started));
    expect(await readEvents(folder)).toEqual([at(0, started)]);
  });

  test("keeps of the steps one in half a second, besides a task's first and last", async () => {
    const folder = await temporaryFolder();
    await using recorder = await Recorder.open(folder);
    await recorder.record(at(0, started));
    for (let step = 1; step <= 21; step++) await recorder.record(at(step / 10, stepEvent(0, step, 21)));
    await recorder.record(at(2.2, stepEvent(1, 1, 1)));
    const steps = (await readEvents(folder)).flatMap((event) =>
      event.type === "step" ? [[event.task, event.step]] : [],
    );
    expect(steps).toEqual([
      [0, 1],
      [0, 6],
      [0, 11],
      [0, 16],
      [0, 21],
      [1, 1],
    ]);
  });

  test("loses a torn last line and nothing else when the run goes on", async () => {
    const folder = await temporaryFolder();
    await record(folder, [started, stepEvent(0, 1, 4)]);
    await appendFile(join(folder, "events.jsonl"), '{"time":"2026-01-01T00:0');
    await using recorder = await Recorder.open(folder);
    expect(recorder.pastEvents).toEqual([at(0, started), at(1, stepEvent(0, 1, 4))]);
    await recorder.record(at(9, { type: "run-resumed", finishedTasks: 0 }));
    expect((await readEvents(folder)).map((event) => event.type)).toEqual([
      "run-started",
      "step",
      "run-resumed",
    ]);
  });

  test("damaged in the middle is refused", async () => {
    const folder = await temporaryFolder();
    await appendFile(join(folder, "events.jsonl"), "torn\n");
    await record(folder, []).then(
      () => expect.unreachable(),
      (error) => expect(error).toBeInstanceOf(StoreError),
    );
  });
});

describe("predictions.jsonl", () => {
  const answer = (learned: number, task: string): RecordedPrediction => ({
    protocol: "cil",
    learned,
    task,
    index: 0,
    gold: `${task}-a`,
    label: `${task}-b`,
    score: 0.5,
  });

  test("keeps the answers of evaluations that were recorded; those of one that was not are given again", async () => {
    const folder = await temporaryFolder();
    expect(await readPredictions(folder)).toEqual([]);
    const [first, second] = [[answer(1, "travel")], [answer(2, "travel"), answer(2, "music")]];
    {
      await using recorder = await Recorder.open(folder);
      await recorder.record(at(0, started));
      await recorder.recordPredictions(first);
      await recorder.record(at(0, evaluatedEvent([0.9], [0.8])));
      await recorder.recordPredictions(second);
    }
    await appendFile(join(folder, predictionsFile), '{"protocol":"ci');
    {
      await using recorder = await Recorder.open(folder);
      expect(await readPredictions(folder)).toEqual(first);
      await recorder.recordPredictions(second);
      await recorder.record(at(1, evaluatedEvent([0.9, 1], [0.5, 0.7])));
    }
    await record(folder, [], 2);
    expect(await readPredictions(folder)).toEqual([...first, ...second]);
  });

  test("damaged in the middle is refused, with the line", async () => {
    const folder = await temporaryFolder();
    await appendFile(join(folder, predictionsFile), `${JSON.stringify(answer(1, "travel"))}\n{}\n`);
    await expect(readPredictions(folder)).rejects.toThrow(StoreError);
    await expect(readPredictions(folder)).rejects.toThrow(/predictions\.jsonl, line 2: is no prediction/);
  });
});

describe("the files beside it", () => {
  const first = evaluatedEvent([0.9], [0.8]);
  const second = evaluatedEvent([0.9, 1], [0.5, 0.7]);

  test("of many tasks the report comes after each tenth more, and in the end", async () => {
    const folder = await temporaryFolder();
    const events = syntheticEvents({ tasks: 24, stepsPerTask: 1, epochs: 1 });
    const begun = events.findIndex((event) => event.type === "evaluated" && event.task === 17) + 1;
    const lines = events.slice(0, begun).map((event) => `${JSON.stringify(event)}\n`);
    await writeFile(join(folder, "events.jsonl"), lines.join(""));
    const written: number[] = [];
    let known = "";
    const look = async (rows: number) => {
      const report = await read(folder, "report.html").catch(() => "");
      if (report !== known) written.push(rows);
      known = report;
    };
    {
      await using recorder = await Recorder.open(folder);
      for (const event of events.slice(begun).filter(({ type }) => type !== "run-finished")) {
        await recorder.record(event);
        if (event.type === "evaluated") await look(event.task + 1);
      }
      // The next one would be after 25.
      expect(written).toEqual([19, 20, 22]);
    }
    await look(24);
    expect(written).toEqual([19, 20, 22, 24]);
  });

  test("matrices and report are there after every task, metrics only at the end", async () => {
    const folder = await temporaryFolder();
    await record(folder, [started, first]);
    expect((await readdir(folder)).sort()).toEqual([
      "cil_matrix.csv",
      "events.jsonl",
      "events.out.tfevents.accrete",
      "report.html",
      "til_matrix.csv",
    ]);
    expect(await read(folder, "cil_matrix.csv")).toBe("after,travel\ntravel,0.8\n");
    await record(folder, [second, { type: "run-finished", metrics }], 2);
    expect(await read(folder, "cil_matrix.csv")).toBe("after,travel,music\ntravel,0.8,\nmusic,0.5,0.7\n");
    expect(await read(folder, "til_matrix.csv")).toBe("after,travel,music\ntravel,0.9,\nmusic,0.9,1\n");
    expect(JSON.parse(await read(folder, "metrics.json"))).toEqual(metrics);
    expect(await read(folder, "report.html")).toContain("music");
  });

  test("a writer that died between the last event and metrics.json is made good for", async () => {
    const folder = await temporaryFolder();
    await record(folder, [started, first, second, { type: "run-finished", metrics }]);
    await rm(join(folder, "metrics.json"));
    await rm(join(folder, "report.html"));
    await record(folder, []);
    expect(JSON.parse(await read(folder, "metrics.json"))).toEqual(metrics);
    expect(await read(folder, "report.html")).toContain("music");
  });

  test("a folder that cannot be written is a StoreError", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "events.jsonl"));
    await expect(Recorder.open(folder)).rejects.toThrow(StoreError);
  });
});
