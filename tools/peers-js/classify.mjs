// Asks transformers.js: node classify.mjs <folder> <task> <<< '["text", …]'. Prints the scores of all classes of each text.
import { basename, dirname, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { env, pipeline } from "@huggingface/transformers";

const [folder, task = "text-classification"] = process.argv.slice(2);
env.localModelPath = `${dirname(resolve(folder))}/`;
env.allowRemoteModels = false;
const ask = await pipeline(task, basename(folder));
const texts = JSON.parse(await text(process.stdin));
const answers = [];
for (const each of texts)
  answers.push(await ask(each, task === "text-classification" ? { top_k: null } : {}));
process.stdout.write(JSON.stringify(answers));
