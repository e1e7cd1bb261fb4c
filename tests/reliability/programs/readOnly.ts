/** Asks a store in a folder that cannot be written to, and tries to teach it: `readOnly.ts <folder>`. Prints JSON. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, StoreError } from "../../../src/core/errors.ts";
import { openStore } from "../../../src/store/store.ts";
import { questions, unversioned } from "../../support/stores.ts";

const [, , folder = ""] = process.argv;

const refused = await writeFile(join(folder, "mine"), "").then(() => "written", errorCode);
await using store = await openStore(folder, { background: false });
const answers = [await store.predict(questions), await store.predict(questions)].map(unversioned);
const taught = await store.learnClass("new", ["n train number 1 n"]).then(
  () => "taught",
  (error: unknown) => (error instanceof StoreError ? error.message : String(error)),
);
const after = unversioned(await store.predict(questions));
console.log(JSON.stringify({ refused, answers: [...answers, after], taught }));
