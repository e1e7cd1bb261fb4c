/**
 * Memory over a long training: `npx tsx bench/longRun.ts [--backbone ../shared/models/minilm-l6] [--precision int8] [--steps 10000]`.
 * One task of 400 texts of 4 to 60 words, batches of 8, gone through until there were so many steps. Printed: resident memory at each tenth, its
 * highest value in the first tenth after the session was made, and how much of that the last tenth's highest is.
 */
import { parseArgs } from "node:util";
import { createRng } from "../src/core/random.ts";
import { createLearner } from "../src/index.ts";

const { values: flags } = parseArgs({
  options: {
    backbone: { type: "string", default: "accrete-mini" },
    precision: { type: "string", default: "fp32" },
    steps: { type: "string", default: "10000" },
    threads: { type: "string", default: "1" },
  },
});
const steps = Number(flags.steps);
const words = "card loan bill rate pin bank cash fee transfer lost wait open close send check limit".split(
  " ",
);
const rng = createRng(1);
const train = Array.from({ length: 400 }, (_, i) => ({
  text: Array.from({ length: 4 + rng.integer(57) }, () => words[rng.integer(words.length)]).join(" "),
  label: `class ${i % 10}`,
}));

await using learner = await createLearner({
  backbone: flags.backbone,
  precision: flags.precision === "int8" ? "int8" : "fp32",
  training: { epochs: 1, minSteps: steps, batchSize: 8, learningRate: 1e-4, headLearningRate: 1e-3 },
  threads: Number(flags.threads),
});
const megabytes = () => process.memoryUsage().rss / 2 ** 20;
const tenths: number[] = [];
let step = 0;
let highest = 0;
await learner.learn(
  { name: "long", train },
  {
    onEvent: (event) => {
      if (event.type !== "step") return;
      step++;
      highest = Math.max(highest, megabytes());
      if (step % Math.floor(steps / 10) !== 0) return;
      tenths.push(highest);
      process.stderr.write(`${step} steps: ${megabytes().toFixed(1)} MB, at most ${highest.toFixed(1)}\n`);
      highest = 0;
    },
  },
);
const [first = 0, last = 0] = [tenths[0], tenths.at(-1)];
process.stdout.write(
  `first tenth ${first.toFixed(1)} MB, last ${last.toFixed(1)} MB: ${(last / first).toFixed(3)}\n`,
);
