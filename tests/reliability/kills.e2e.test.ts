/**
 * SIGKILL at random moments to a process that changes a store: what was acknowledged is there, all is whole, and the next
 * process goes on. ACCRETE_ATTACK=1 kills a hundred.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { readState, readStore } from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { heardOf } from "../support/cli.ts";
import { anyModel } from "../support/states.ts";
import { addTask, begunStore } from "../support/workspaces.ts";

const kills = process.env.ACCRETE_ATTACK === "1" ? 100 : 8;
const program = join(packageRoot, "tests/reliability/programs/changes.ts");

/** Kills a process some time after its first change. @returns the last version that it acknowledged */
async function killed(folder: string): Promise<number> {
  const child = spawn(process.execPath, ["--import", "tsx", program, folder]);
  const heard = heardOf(child);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await setTimeout(Math.random() * 300);
  child.kill("SIGKILL");
  const { out, exitCode } = await heard;
  // Killed, not failed.
  expect(exitCode).toBeNull();
  const versions = out.split("\n").filter((line) => line !== "");
  // The last line may be torn.
  const acknowledged = versions.slice(0, out.endsWith("\n") ? undefined : -1).map(Number);
  return Math.max(...acknowledged);
}

test(`${kills} kills: every acknowledged version is there, all is whole, and the next change is accepted`, async () => {
  const folder = await begunStore();
  let made = 0;
  for (let n = 0; n < kills; n++) {
    const acknowledged = await killed(folder);
    const { store } = await readStore(folder);
    expect(store.version).toBeGreaterThanOrEqual(acknowledged);
    // One that was under way may have been made, and not told.
    expect(store.version).toBeLessThanOrEqual(acknowledged + 2);
    expect((await checkFolder(folder)).problems).toEqual([]);
    await readState(folder, await readStore(folder), anyModel);
    await addTask(folder, `after kill ${n}`);
    expect((await readStore(folder)).store.version).toBe(store.version + 1);
    made += acknowledged;
    // The change that came after the kill has tidied up.
    expect((await checkFolder(folder)).leftovers).toEqual([]);
  }
  expect(made).toBeGreaterThan(kills);
  await using workspace = await Workspace.open(folder);
  await workspace.purge();
  expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
});
