import { folderStore } from "./folderStore.ts";
import type { ArtefactStore } from "./store.ts";

/** @param place `s3://bucket/prefix`, or a folder that every machine sees */
export async function openArtefacts(place: string): Promise<ArtefactStore> {
  if (!/^s3:/.test(place)) return await folderStore(place);
  const { s3Store } = await import("./s3Store.ts");
  return await s3Store(place);
}
