/** The engine's telemetry is off: its system calls are traced, in every place that loads it. */
import { spawn, spawnSync } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { heardOf } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";

const noTrace = spawnSync("strace", ["-V"]).status !== 0;
const program = (name: string) => join(packageRoot, "tests/reliability/programs", name);
const source = (name: string) => join(packageRoot, "src", name);

interface Traced {
  readonly out: string;
  readonly exitCode: number | null;
  /** What was opened, made or connected to that only telemetry has use for. */
  readonly suspicious: readonly string[];
  /** What lies in the home and the cache folder, which were empty. */
  readonly left: readonly string[];
}

/** A name, an id or an address that nothing of ours asks for; a host is looked up over an internet socket. */
const forbidden = /machine-id|\/proc\/self\/cmdline|Microsoft|\.onnxruntime|AF_INET/;

async function trace(...args: readonly string[]): Promise<Traced> {
  const folder = await temporaryFolder();
  const home = join(folder, "home");
  await mkdir(home);
  const log = join(folder, "trace");
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
  const command = ["-f", "-o", log, "-e", "trace=openat,open,mkdir,socket,connect,sendto,sendmsg,sendmmsg"];
  const child = spawn("strace", [...command, process.execPath, "--import", "tsx", ...args], {
    env: { ...env, HOME: home, XDG_CACHE_HOME: home, DEBUG: "" },
  });
  const { out, exitCode } = await heardOf(child);
  const lines = (await readFile(log, "utf8")).split("\n");
  return {
    out,
    exitCode,
    suspicious: lines.filter((line) => forbidden.test(line)),
    left: await readdir(home, { recursive: true }),
  };
}

describe.skipIf(noTrace)("telemetry is off (skipped where strace is absent or forbidden)", () => {
  test("where a program loads the engine", async () => {
    expect(await trace(program("engine.ts"))).toEqual({
      out: "2 4\n",
      exitCode: 0,
      suspicious: [],
      left: [],
    });
  });

  test.each(["index.ts", "extend.ts", "cli/main.ts"])(
    "where the main thread imports %s and a worker alone loads the engine",
    async (entry) => {
      const traced = await trace(program("worker.ts"), source(entry));
      expect(traced).toEqual({ out: "2 4\n", exitCode: 0, suspicious: [], left: [] });
    },
  );

  test("a worker that cannot turn it off does not load the engine, and says what to do", async () => {
    const traced = await trace(program("worker.ts"));
    expect(traced).toMatchObject({ suspicious: [], left: [] });
    expect(traced.out).toMatch(/telemetry cannot be turned off from within a worker/);
  });

  test("on the command line", async () => {
    const traced = await trace(source("cli/main.ts"), "doctor", "--json");
    expect(traced).toMatchObject({ exitCode: 0, suspicious: [] });
  });
});

test("a command line of 40,000 characters works", () => {
  const { stdout, status } = spawnSync(
    process.execPath,
    ["--import", "tsx", program("engine.ts"), "x".repeat(40_000)],
    { encoding: "utf8", env: { ...process.env, ORT_DISABLE_TELEMETRY: "" } },
  );
  expect({ stdout, status }).toEqual({ stdout: "2 4\n", status: 0 });
});
