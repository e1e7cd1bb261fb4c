/** Our side of `bench/encode.ts`: a step gives every text its unit vector, as `embed` of a learner does. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createLearner } from "../src/model/learner.ts";
import { serve } from "./serve.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "" },
    texts: { type: "string", default: "" },
    threads: { type: "string", default: "2" },
    precision: { type: "string", default: "fp32" },
  },
});
const texts: string[] = JSON.parse(readFileSync(flags.texts, "utf8"));
await using learner = await createLearner({
  backbone: flags.model,
  feature: { pooling: "mean", normalize: true },
  precision: flags.precision === "int8" ? "int8" : "fp32",
  threads: Number(flags.threads),
});
await serve(async () => {
  await learner.embed(texts);
  return undefined;
});
