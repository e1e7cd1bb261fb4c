/** Stores that are published in a place, and processes that change them. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { openBucketSource } from "../../src/store/sources/bucket.ts";
import { pushStore } from "../../src/store/sources/transfer.ts";
import { bytesBelow, folderOfTestFile } from "./folders.ts";
import { addTask, begunStore } from "./workspaces.ts";

const program = join(packageRoot, "tests/reliability/programs/bucketWriter.ts");

let places = 0;
/** A store with two tasks, pushed to a place of its own. */
export async function published(below: string) {
  const place = `${below}/${++places}`;
  const local = await begunStore();
  await addTask(local, "one");
  await addTask(local, "two");
  await pushStore(local, `${place}/intents`);
  return { place, local };
}

export const cache = () => folderOfTestFile("copies");
export const whole = (folder: string) => bytesBelow(folder, (name) => name !== "lock.json");
export const open = (place: string, folder = cache(), termMs = 1000) =>
  openBucketSource(place, folder, { termMs });

/** A process that changes the store in a place. @param changes 0: it dies in the middle of one */
export function startWriter(
  place: string,
  name: string,
  changes: number,
  termMs: number,
  folder = cache(),
): ChildProcessWithoutNullStreams {
  const args = [program, place, folder, "intents", name, `${changes}`, `${termMs}`];
  return spawn(process.execPath, ["--import", "tsx", ...args], {
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
}
