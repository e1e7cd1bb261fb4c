/** A command whose output is closed or full. */
import { spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { commandLine } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";

type Output = "closed" | number;

interface Ending {
  readonly exitCode: number | null;
  readonly err: string;
}

function run(args: readonly string[], { out, err }: { out?: Output; err?: "closed" }): Promise<Ending> {
  const child = spawn(process.execPath, commandLine(args), {
    stdio: ["ignore", typeof out === "number" ? out : "pipe", "pipe"],
    env: { ...process.env, DEBUG: "" },
  });
  if (out === "closed") child.stdout?.destroy();
  else child.stdout?.resume();
  if (err === "closed") child.stderr?.destroy();
  let heard = "";
  child.stderr?.on("data", (chunk) => {
    heard += chunk;
  });
  return new Promise((resolve) => child.on("close", (exitCode) => resolve({ exitCode, err: heard })));
}

describe("output", () => {
  test("that is closed ends the command with exit 1 and one line", async () => {
    expect(await run(["doctor"], { out: "closed" })).toEqual({
      exitCode: 1,
      err: "accrete: the output could not be written: whoever read it closed it\n",
    });
  });

  test.skipIf(!existsSync("/dev/full"))(
    "that is full does the same (skipped where there is no /dev/full)",
    async () => {
      expect(await run(["doctor"], { out: openSync("/dev/full", "w") })).toEqual({
        exitCode: 1,
        err: "accrete: the output could not be written: the disk is full\n",
      });
    },
  );

  test("of progress and notes may be lost: the command goes on", async () => {
    const folder = await temporaryFolder();
    const backbone = join(packageRoot, "models", "accrete-mini");
    const { exitCode } = await run(["init", join(folder, "store"), "--backbone", backbone], {
      err: "closed",
    });
    expect(exitCode).toBe(0);
    expect(existsSync(join(folder, "store", "manifest.json"))).toBe(true);
  });
});
