import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import type { PieceName } from "../../src/experiment/pieces.ts";
import { PieceProcesses } from "../../src/sweep/queue/pieceProcess.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { startAccrete, until } from "../support/sweeps.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

let config: string;
beforeAll(async () => {
  config = await writeTinyExperiment(folderOfTestFile("pieceProcess"));
});

function openProcesses(name: string) {
  const folder = folderOfTestFile(name);
  const processes = new PieceProcesses(join(folder, "processes"));
  onTestFinished(() => processes[Symbol.asyncDispose]());
  const pieces = join(folder, "pieces");
  return {
    processes,
    pieces,
    compute: (piece: PieceName, signal = new AbortController().signal, more: readonly string[] = []) =>
      processes.compute([config, ...more], { piece, folder: pieces }, signal),
    /** How many were ever started. */
    started: async () => (await readdir(join(folder, "processes"))).length,
  };
}

const written = { exitCode: 0, log: "" };

test("pieces of one run are computed by one process; another run's takes its place", async () => {
  const { compute, started, pieces } = openProcesses("one");
  for (const task of [1, 0]) expect(await compute({ task, part: "learn" })).toEqual(written);
  expect(await compute({ task: 1, part: "answers" })).toEqual(written);
  expect(await compute({ part: "baseline" })).toEqual(written);
  expect((await readdir(pieces)).sort()).toEqual([
    "baseline",
    "task-0-learn",
    "task-1-answers",
    "task-1-learn",
  ]);
  expect(await started()).toBe(1);
  const other = ["--at", `out=${join(pieces, "other")}`];
  expect(await compute({ task: 0, part: "learn" }, undefined, other)).toEqual(written);
  expect(await compute({ task: 0, part: "learn" })).toEqual(written);
  expect(await started()).toBe(3);
});

test("a process that fails says why, and the next piece has a process of its own", async () => {
  const { compute, started } = openProcesses("failing");
  expect(await compute({ task: 7, part: "learn" })).toMatchObject({
    exitCode: 2,
    log: expect.stringContaining("the stream has 3 tasks, and none with number 7"),
  });
  expect(await compute({ task: 0, part: "learn" })).toEqual(written);
  expect(await started()).toBe(2);
});

test("a piece stops when it is told to, with nothing half-written", async () => {
  const { compute, started, pieces } = openProcesses("stopped");
  const stop = new AbortController();
  const piece = compute({ task: 0, part: "learn" }, stop.signal);
  await until(async () => (await started().catch(() => 0)) === 1, "a process");
  stop.abort();
  expect(await piece).not.toEqual(written);
  expect(await readdir(pieces).catch(() => [])).toEqual([]);
});

test("nobody else can ask a process for pieces", async () => {
  const { ended, heard } = startAccrete(["run", config, "--asked"]);
  expect(await ended).toBe(2);
  expect(heard()).toContain("nobody can ask");
});
