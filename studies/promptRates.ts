/**
 * The learning rate of prompt tuning, judged on validation texts alone:
 * `npx tsx studies/promptRates.ts [5e-4 5e-3 …] [--tasks 3] [--shared ../shared]`. The first tasks of CLINC150 as seed 1
 * divides it, MiniLM, one thread, everything else at its default (the prompt
 * begins with the words for sentences of any kind); the validation part stands in place of the test part.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { ConfigError } from "../src/core/errors.ts";
import { loadStream } from "../src/data/stream.ts";
import { openModel } from "../src/model/openModel.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { settingsOf } from "../src/model/settings/settings.ts";
import { emptyState } from "../src/model/state.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { shared: { type: "string", default: "../shared" }, tasks: { type: "string", default: "3" } },
});
const rates = positionals.length === 0 ? [5e-4, 1.5e-3, 5e-3, 2e-2] : positionals.map(Number);

const config = resolveConfig(
  {
    backbone: join(flags.shared, "models/minilm-l6"),
    method: { adapter: "prompt-tuning" },
    stream: {
      recipe: "clinc150",
      path: join(flags.shared, "data/clinc150"),
      tasks: 15,
      classOrder: "shuffled",
    },
    threads: 1,
    seed: 1,
    out: "unused",
  },
  process.cwd(),
);
const { tasks: stream } = await loadStream(config.stream, config.seed);
const tasks = stream.slice(0, Number(flags.tasks)).map((task) => ({ ...task, test: task.validation }));
const loaded = await loadBackbone(config.backbone);

const percent = (fractions: readonly number[]) =>
  ((100 * fractions.reduce((sum, each) => sum + each, 0)) / fractions.length).toFixed(2);

for (const learningRate of rates) {
  const started = performance.now();
  const training = { ...config.training, learningRate };
  const settings = { ...settingsOf(config), training, promptTask: "sentence" } as const;
  await using model = await openModel(settings, loaded, { trunks: "memory" });
  let state = emptyState;
  for (const task of tasks) {
    const learning = model.learn(state, task);
    let next = await learning.next();
    while (!next.done) next = await learning.next();
    ({ state } = next.value);
  }
  const { figures } = await model.openEvaluator().evaluate(state, tasks);
  if (figures.type !== "evaluated") throw new ConfigError("the study is about sentences");
  const { cil, til } = figures;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${learningRate}: CIL ${percent(cil)} %, TIL ${percent(til)} %, ${seconds} s`);
}
