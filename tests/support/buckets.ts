/** Stores that are published in a place, and processes that change them. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { expect } from "vitest";
import { openArtefacts } from "../../src/artefacts/open.ts";
import type { ArtefactStore } from "../../src/artefacts/store.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { openBucketSource } from "../../src/store/sources/bucket.ts";
import { allNamedIn } from "../../src/store/sources/contents.ts";
import { originFile } from "../../src/store/sources/origin.ts";
import { parsePublished } from "../../src/store/sources/published.ts";
import { pullStore, pushStore } from "../../src/store/sources/transfer.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { bytesBelow, folderOfTestFile, freshTarget } from "./folders.ts";
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
/** What a store is, and not what its folder remembers of where it was published. */
export const whole = (folder: string) =>
  bytesBelow(folder, (name) => name !== "lock.json" && name !== originFile);
export const open = (place: string, folder = cache(), termMs = 1000) =>
  openBucketSource(place, folder, { termMs });

/** Hashes of the objects of a store that lie in a place, several of the same hash counted. */
export async function lying(artefacts: ArtefactStore, store = "intents"): Promise<string[]> {
  const objects = await artefacts.list(`contents/${store}`);
  return objects.map(({ key }) => /([^/]+)\.[0-9a-f]+$/.exec(key)?.[1] ?? key).sort();
}

/** Hashes of all that is published, as a machine that has no copy finds them. */
export async function named(place: string, store = "intents"): Promise<string[]> {
  const artefacts = await openArtefacts(place);
  const text = (await artefacts.readName(`stores/${store}`))?.value ?? "";
  const copy = freshTarget();
  await pullStore(`${place}/${store}`, copy);
  expect(await checkFolder(copy)).toMatchObject({ problems: [], leftovers: [] });
  return [...(await allNamedIn(copy, parsePublished(text, place)))].sort();
}

/** Everything that is published is there, and nothing else. */
export async function expectExact(place: string, store = "intents"): Promise<void> {
  expect(await lying(await openArtefacts(place), store)).toEqual(await named(place, store));
}

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
