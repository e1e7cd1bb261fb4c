/**
 * What a folder remembers of the places that it was pushed to or pulled from: which version of its own is published there.
 * A purge takes the earlier versions from the folder, and this is what tells afterwards that a published one was among them.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../io/atomic.ts";

export const originFile = "published.json";

/** Place with the store's name → the identity of the version that both had. */
const originSchema = z.record(z.string(), z.string());

/** Place with the store's name → the identity of the version that both had; none where it was never pushed or pulled. */
export async function readOrigins(folder: string): Promise<Readonly<Record<string, string>>> {
  try {
    return originSchema.parse(JSON.parse(await readFile(join(folder, originFile), "utf8")));
  } catch {
    return {};
  }
}

/** The identity of the version that a folder and a place both had. */
export async function originOf(folder: string, place: string): Promise<string | undefined> {
  return (await readOrigins(folder))[place];
}

/** One that cannot be written costs a refusal later, and is no reason to fail now. */
export async function rememberOrigin(folder: string, place: string, identity: string): Promise<void> {
  const origins = await readOrigins(folder);
  if (origins[place] === identity) return;
  const text = `${JSON.stringify({ ...origins, [place]: identity }, undefined, 2)}\n`;
  await writeFileAtomic(join(folder, originFile), text).catch(() => {});
}
