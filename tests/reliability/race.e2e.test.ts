/**
 * Many processes on one store: every read is answered, every acknowledged change is in the history.
 * ACCRETE_ATTACK=1 runs eight writers and eight readers for a minute.
 */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { type Ended, heardOf } from "../support/cli.ts";
import { begunStore, namesIn } from "../support/workspaces.ts";

const full = process.env.ACCRETE_ATTACK === "1";
const [each, seconds] = full ? [8, 60] : [2, 6];
const program = join(packageRoot, "tests/reliability/programs/race.ts");

function start(role: string, folder: string, name: string, apart = false): Promise<Ended> {
  const node = [process.execPath, "--import", "tsx", program, role, folder, name, String(seconds)];
  const [command = "", ...args] = apart ? ["unshare", "--pid", "--fork", ...node] : node;
  return heardOf(spawn(command, args));
}

function lines({ out, err, exitCode }: Ended): string[] {
  expect({ err: err.replaceAll(/^.*AccreteNote.*\n.*--trace-warnings.*\n/gm, ""), exitCode }).toEqual({
    err: "",
    exitCode: 0,
  });
  return out.split("\n").filter((line) => line !== "");
}

const numbers = Array.from({ length: each }, (_, n) => n);

describe("one store", () => {
  test(`${each} writers, ${each} readers and a purger, ${seconds} seconds`, async () => {
    const folder = await begunStore();
    const writers = numbers.map((n) => start("writer", folder, `w${n}`));
    const readers = numbers.map((n) => start("reader", folder, `r${n}`));
    const purger = start("purger", folder, "p");
    const acknowledged = (await Promise.all(writers)).flatMap(lines);
    const reads = (await Promise.all(readers)).flatMap(lines).map(Number);
    lines(await purger);
    expect((await namesIn(folder)).toSorted()).toEqual(acknowledged.toSorted());
    expect(acknowledged.length).toBeGreaterThan(each);
    expect(Math.min(...reads)).toBeGreaterThan(0);
    expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
    if (full) console.log(`${acknowledged.length} changes, ${reads.reduce((a, b) => a + b)} reads`);
  });

  const apart = spawnSync("unshare", ["--pid", "--fork", "true"]).status === 0;
  test.skipIf(!apart)(
    "two writers in separate process namespaces lose no change (skipped where unshare is absent or forbidden)",
    async () => {
      const folder = await begunStore();
      // Each is process 1 of its own namespace: a record of process ids would take each other for dead, or for itself.
      const ended = await Promise.all(["a", "b"].map((name) => start("writer", folder, name, true)));
      const acknowledged = ended.flatMap(lines);
      expect((await namesIn(folder)).toSorted()).toEqual(acknowledged.toSorted());
      expect(new Set(acknowledged.map((name) => name[0])).size).toBe(2);
      expect(await checkFolder(folder)).toMatchObject({ problems: [] });
    },
  );
});
