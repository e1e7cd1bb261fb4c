/**
 * What it costs to judge texts by free generation: `npx tsx bench/freeAnswers.ts RUN FILE [--texts 300]`. RUN is the folder of a run
 * with `head: none` and a router, FILE has labelled texts. Each text is put into the run's prompt, the router chooses whose
 * adapter answers, and texts of different adapters share their batches. Printed are wall and processor time, and how many
 * answers are the label.
 */
import { parseArgs } from "node:util";
import { isExactMatch } from "../src/continual/taskTypes/textGeneration.ts";
import { ConfigError } from "../src/core/errors.ts";
import { DEFAULT_PROMPT, fillPrompt, promptTemplate } from "../src/data/encoding/prompts.ts";
import { collect, readExamples } from "../src/data/files/readers.ts";
import { readModelSettings } from "../src/model/settings/settings.ts";
import { openRun } from "../src/store/openRun.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { texts: { type: "string", default: "300" } },
});
const [run, file] = positionals;
if (run === undefined || file === undefined)
  throw new ConfigError("no run, or no file", { hint: "npx tsx bench/freeAnswers.ts RUN FILE" });

const examples = (await collect(readExamples(file))).slice(0, Number(flags.texts));
const { prompt = DEFAULT_PROMPT } = await readModelSettings(run);
const template = promptTemplate(prompt);
const prompts = examples.map((example) => fillPrompt(template, example));
await using predictor = await openRun(run);
// The router is read, and what is compiled once is compiled.
await predictor.generate(prompts.slice(0, 1));
const [began, used] = [performance.now(), process.cpuUsage()];
const answers = await predictor.generate(prompts);
const { user, system } = process.cpuUsage(used);
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const right = answers.filter(({ completion }, i) => isExactMatch(completion, examples[i]?.label ?? ""));
const adapters = new Set(answers.map(({ task }) => task));
console.log(
  `${examples.length} texts by ${adapters.size} adapters: ${seconds(performance.now() - began)}, ` +
    `${seconds((user + system) / 1000)} of processor time; ${right.length} answers are the label`,
);
