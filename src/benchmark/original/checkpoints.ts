/** Adapters once more in the original's folders, for tools that look for them there. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFolderAtomic } from "../../io/atomic.ts";
import { readManifest } from "../../workspace/manifest.ts";

async function readFolder(folder: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of (await readdir(folder)).sort()) files.set(name, await readFile(join(folder, name)));
  return files;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/**
 * Writes `lora_task_<k>/task-<j>/` for every finished task k and every j ≤ k: the adapters as they were after task k,
 * each a folder that peft loads. Folders that are there already are left alone, so it may be called again at any time.
 *
 * @param out run folder
 * @throws StoreError if a folder cannot be written
 */
export async function exportTaskFolders(out: string): Promise<void> {
  const tasks = (await readManifest(out))?.tasks ?? [];
  const files = new Map<string, Uint8Array>();
  for (const [k, task] of tasks.entries()) {
    for (const [name, content] of await readFolder(join(out, task.adapter.folder)))
      files.set(`task-${k}/${name}`, content);
    const folder = join(out, `lora_task_${k}`);
    if (!(await exists(folder))) await writeFolderAtomic(folder, files);
  }
}
