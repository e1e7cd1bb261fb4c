/**
 * One of many that use a store at once: `race.ts <role> <folder> <name> <seconds>`. A writer adds tasks and prints the name of
 * each that was acknowledged; a reader reads states and prints how many; a purger deletes earlier versions.
 */
import { setTimeout } from "node:timers/promises";
import { StoreError } from "../../../src/core/errors.ts";
import { readPresent, readState, readStore } from "../../../src/workspace/reading.ts";
import { Workspace } from "../../../src/workspace/workspace.ts";
import { anyModel, statisticsTask } from "../../support/states.ts";

const [, , role = "", folder = "", name = "", seconds = "0"] = process.argv;
const until = performance.now() + 1000 * Number(seconds);

/** A change that finds another one in its way for too long is refused, and not acknowledged. */
async function unlessBusy(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StoreError && error.code === "STORE_BUSY")) throw error;
  }
}

const waiting = { elsewhere: false, waitMs: 10_000 };
const roles: Readonly<Record<string, () => Promise<void>>> = {
  writer: async () => {
    for (let n = 0; performance.now() < until; n++)
      await unlessBusy(async () => {
        await using workspace = await Workspace.open(folder, waiting);
        const { tasks } = await readState(folder, await readStore(folder), anyModel);
        await workspace.commit({ tasks: [...tasks, statisticsTask(`${name}-${n}`)] }, `${name}-${n}`);
        await workspace.expire(5);
        console.log(`${name}-${n}`);
      });
  },
  reader: async () => {
    let reads = 0;
    for (; performance.now() < until; reads++) await readPresent(folder, anyModel);
    console.log(String(reads));
  },
  purger: async () => {
    for (; performance.now() < until; await setTimeout(50))
      await unlessBusy(async () => {
        await using workspace = await Workspace.open(folder, waiting);
        await workspace.purge();
      });
  },
};
await roles[role]?.();
