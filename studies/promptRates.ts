/**
 * The learning rate of prompt tuning, judged on validation texts alone:
 * `npx tsx studies/promptRates.ts [5e-4 5e-3 …] [--tasks 3] [--shared ../shared]`. The first tasks of CLINC150 as seed 1
 * divides it, MiniLM, one thread, everything else at its default (the prompt
 * begins with the words for sentences of any kind); the validation part stands in place of the test part.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { resolveConfig } from "../src/config/load.ts";
import { resolveStructure, resolveTraining } from "../src/model/settings/structure.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import { Evaluator } from "../src/continual/evaluation.ts";
import { ContinualLearner } from "../src/continual/learner.ts";
import { loadStream } from "../src/data/stream.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

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
  await using model = new AdaptedBackbone({
    structure: resolveStructure(config, loaded),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    threads: 1,
  });
  const training = resolveTraining({ ...config, training: { ...config.training, learningRate } });
  await using learner = new ContinualLearner(model, training, config.seed);
  const evaluator = new Evaluator(model);
  for (const task of tasks) {
    const learning = learner.learn(task);
    let next = await learning.next();
    while (!next.done) next = await learning.next();
    evaluator.add(task, next.value.learned);
  }
  const { cil, til } = await evaluator.evaluate();
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${learningRate}: CIL ${percent(cil)} %, TIL ${percent(til)} %, ${seconds} s`);
}
