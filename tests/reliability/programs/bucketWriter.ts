/**
 * Changes a store of a bucket: `bucketWriter.ts <url> <cache> <store> <name> <changes> <term>`. Prints the name of each task once
 * the change was published. With no changes it dies in the middle of one, once the copy has it.
 */
import { StoreError } from "../../../src/core/errors.ts";
import { openBucketSource } from "../../../src/store/sources/bucket.ts";
import { addTask } from "../../support/workspaces.ts";

const [, , url = "", cache = "", store = "", name = "", changes = "0", term = "0"] = process.argv;

await using source = await openBucketSource(url, cache, { termMs: Number(term) });
if (changes === "0")
  await source.change(
    store,
    async (folder) => {
      await addTask(folder, name);
      process.kill(process.pid, "SIGKILL");
    },
    60,
  );
for (let n = 0; n < Number(changes); ) {
  try {
    await source.change(store, (folder) => addTask(folder, `${name}-${n}`), 60);
    console.log(`${name}-${n++}`);
  } catch (error) {
    // One that was overtaken makes its change again.
    if (!(error instanceof StoreError && error.code === "STORE_BUSY")) throw error;
  }
}
