/** Adapters once more in the original's folders, for tools that look for them there. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFolderAtomic } from "../../io/atomic.ts";
import { readManifest } from "../../workspace/manifest.ts";

/**
 * Writes `lora_task_<k>/task-<j>/` for every finished task k and every j ≤ k: the adapters as they were after task k,
 * each a folder that peft loads. Folders that are there already are left alone, so it may be called again at any time.
 * @param out run folder
 * @throws StoreError if a folder cannot be written
 */
export async function exportTaskFolders(out: string): Promise<void> {
  const tasks = (await readManifest(out))?.tasks ?? [];
  const files = new Map<string, Uint8Array>();
  for (const [k, task] of tasks.entries()) {
    const adapter = join(out, task.adapter.folder);
    for (const name of (await readdir(adapter)).sort())
      files.set(`task-${k}/${name}`, await readFile(join(adapter, name)));
    const folder = join(out, `lora_task_${k}`);
    if (!existsSync(folder)) await writeFolderAtomic(folder, files);
  }
}
