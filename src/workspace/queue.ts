/** Changes of one folder are made one after another inside this process; other processes are kept out by its lock. */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";

const latest = new Map<string, Promise<unknown>>();

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return resolve(folder);
  }
}

/** Runs `work` once every change of the folder that was asked for before has ended, however it did. */
export async function inTurn<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const path = realPath(folder);
  const made = (latest.get(path) ?? Promise.resolve()).then(work);
  const ended = made
    .catch(() => {})
    .then(() => {
      if (latest.get(path) === ended) latest.delete(path);
    });
  latest.set(path, ended);
  return await made;
}
