/**
 * Reads an adapter folder and writes it again as Accrete does, for `make_and_check.py check` to load with real peft:
 * `npx tsx tools/peft/rewrite.ts <adapter> <out> [pooling]`.
 */
import { ConfigError } from "../../src/core/errors.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";

const [adapter, out, pooling] = process.argv.slice(2);
if (adapter === undefined || out === undefined)
  throw new ConfigError("usage: npx tsx tools/peft/rewrite.ts <adapter> <out> [pooler]");
const saved = await readPeftFolder(adapter, {
  architecture: adapter.includes("roberta") ? "roberta" : "bert",
  ...(pooling === "pooler" && { pooling }),
});
await writeFolderAtomic(out, encodePeftFolder(saved));
