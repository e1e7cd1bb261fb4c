/** Where fitted routers lie in a folder of states. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RouterStage } from "../continual/types.ts";

/** Holds what was fitted to the present version; nothing in it is needed: whoever finds it empty fits anew. */
export const routerFolder = "router";
/** What lies there that is ours: a folder a version, and what earlier versions of Accrete wrote. */
export const routerEntry = /^(\d{6,}|routing\.json|router\.safetensors|detector\.safetensors)$/;

/** The folder of a version's routers. */
export function routersOf(version: number): string {
  return String(version).padStart(6, "0");
}

/** Where the router of a version lies, in the folder. */
export function routerPlace(version: number, stage: RouterStage): string {
  return `${routerFolder}/${routersOf(version)}/${stage}`;
}

/** A router as it is kept: its files by name. */
export interface RouterFiles {
  readonly stage: RouterStage;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads files of a version's router; undefined where one is not there. */
export function routerReader(root: string, version: number, stage: RouterStage) {
  const folder = join(root, routerPlace(version, stage));
  return (name: string): Promise<Uint8Array | undefined> =>
    readFile(join(folder, name)).catch(() => undefined);
}
