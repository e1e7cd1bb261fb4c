import { spawn } from "node:child_process";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parseEvents } from "../../src/report/record/record.ts";
import { commandLine, spawnAccrete } from "../support/cli.ts";
import { bytesBelow, folderOfTestFile } from "../support/folders.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const folder = folderOfTestFile("e2e");
let config = "";

beforeAll(async () => {
  config = await writeTinyExperiment(folder);
  await writeFile(config, (await readFile(config, "utf8")).replace("epochs: 6", "epochs: 3"));
});

const at = (...parts: readonly string[]) => join(folder, ...parts);
const adapterBytes = (run: string) => bytesBelow(at(run, "adapters"));

/** Starts a run and sends the signal as soon as stderr holds `moment`. */
function interrupt(out: string, moment: string, signal: NodeJS.Signals) {
  const child = spawn(process.execPath, commandLine(["run", config, "--out", at(out)]), {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  child.stderr.on("data", (chunk) => {
    const before = err;
    err += chunk;
    if (!err.includes(moment) || before.includes(moment)) return;
    child.kill(signal);
    // As under npm, which passes on what the terminal has sent to everyone.
    if (signal === "SIGINT") setTimeout(() => child.kill(signal), 20);
  });
  return new Promise<{ code: number | null; err: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, err }));
  });
}

describe("accrete run, from its first step to its last", () => {
  test("--profile says where the time went, and leaves the figures as they are", async () => {
    const { exitCode, err } = await spawnAccrete(["run", config, "--out", at("profiled"), "--profile"]);
    expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
    expect(err).toMatch(/part of the run +seconds +share\ntraining +\d/);
    expect(err).toMatch(/operator of the engine +seconds +share +calls\n\w+ +\d/);
    const { parts, operators } = JSON.parse(await readFile(at("profiled", "profile.json"), "utf8"));
    expect(Object.keys(parts)).toEqual(["training", "router", "evaluation", "probing", "other"]);
    expect(parts.training).toBeGreaterThan(0);
    const calls = Object.fromEntries(
      operators.map((row: { operator: string; calls: number }) => [row.operator, row.calls]),
    );
    // Every step and pass has one product at least for each layer's four frozen matrices.
    expect(calls.Gemm).toBeGreaterThan(100);
    expect(await readdir(at("profiled"))).not.toContain("profile");
  });

  test("leaves a whole run folder, its tables on stdout and the rest on stderr", async () => {
    const { exitCode, out, err } = await spawnAccrete(["run", config, "--out", at("whole")]);
    expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
    expect((await readdir(at("whole"))).sort()).toEqual([
      "adapters",
      "cil_matrix.csv",
      "config.resolved.yaml",
      "events.jsonl",
      "events.out.tfevents.accrete",
      "manifest.json",
      "metrics.json",
      "predictions.jsonl",
      "report.html",
      "til_matrix.csv",
    ]);
    expect(out).toContain("Report: ");
    expect(out).not.toContain("epoch 1");
    expect(err).toContain("task 3/3 learned");
    const metrics: unknown = JSON.parse(await readFile(at("whole", "metrics.json"), "utf8"));
    expect(metrics).toMatchObject({
      schemaVersion: 1,
      cil: { passesPerExample: 3 },
      til: { forgetting: 0, backwardTransfer: 0, passesPerExample: 1 },
    });
  });

  test("--resume of a finished run exits 0, says the same, and changes nothing", async () => {
    const before = await readFile(at("whole", "events.jsonl"), "utf8");
    const { exitCode, out } = await spawnAccrete(["run", config, "--out", at("whole"), "--resume"]);
    expect(exitCode).toBe(0);
    expect(out).toContain("Report: ");
    expect(await readFile(at("whole", "events.jsonl"), "utf8")).toBe(before);
  });

  test("predict answers with a known label, also from a backbone that was moved", async () => {
    await rename(at("model"), at("moved"));
    try {
      const lost = await spawnAccrete(["predict", at("whole"), "a text a"]);
      expect(lost).toMatchObject({ exitCode: 2, out: "" });
      const args = ["predict", at("whole"), "--backbone", at("moved"), "--json"];
      const { exitCode, out } = await spawnAccrete(args, { input: "a text a\nb text b\n" });
      expect(exitCode).toBe(0);
      const lines: unknown[] = out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      const one = {
        label: expect.any(String),
        score: expect.any(Number),
        task: expect.any(String),
        passes: 3,
      };
      expect(lines).toMatchObject([
        { ...one, text: "a text a" },
        { ...one, text: "b text b" },
      ]);
    } finally {
      await rename(at("moved"), at("model"));
    }
  });
});

describe("an interrupted run", () => {
  test.each([
    ["in the middle of the second task", "task 2/3 epoch 2"],
    ["right after the second task is saved", "task 2/3 learned"],
  ])("killed %s, goes on to the same adapters byte for byte", async (title, moment) => {
    const out = title.replaceAll(" ", "-");
    const killed = await interrupt(out, moment, "SIGKILL");
    expect(killed.code).toBe(null);
    const kept = await adapterBytes(out);
    expect(Object.keys(kept).length).toBeGreaterThan(0);
    const { exitCode, err } = await spawnAccrete(["run", config, "--out", at(out), "--resume"]);
    expect({ exitCode, err }).toMatchObject({ exitCode: 0, err: expect.stringContaining("broke the lock") });
    expect(await adapterBytes(out)).toEqual(await adapterBytes("whole"));
    const events = parseEvents(await readFile(at(out, "events.jsonl"), "utf8"));
    expect(events.filter((event) => event.type === "run-resumed")).toHaveLength(1);
    expect(await readFile(at(out, "cil_matrix.csv"), "utf8")).toBe(
      await readFile(at("whole", "cil_matrix.csv"), "utf8"),
    );
  });

  test("by Ctrl-C exits 1, says how to go on, and releases its lock", async () => {
    const { code, err } = await interrupt("stopped", "task 2/3 epoch 1", "SIGINT");
    expect(code).toBe(1);
    expect(err).toContain(`Go on with: accrete run ${config} --out ${at("stopped")} --resume`);
    expect(await readdir(at("stopped"))).not.toContain("lock.json");
    expect(await readdir(at("stopped"))).toContain("report.html");
  });
});
