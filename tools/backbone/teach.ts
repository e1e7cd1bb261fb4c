/**
 * Computes the teacher's sentence vectors of a corpus, on our own engine:
 * `npx tsx tools/backbone/teach.ts --corpus /tmp/accrete-corpus/corpus.txt --teacher ../shared/models/minilm-l6
 *  --out /tmp/accrete-corpus/vectors.f32`. The output is float32, row-major, one row of 384 a line of the corpus.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { ConfigError } from "../../src/core/errors.ts";
import { asFloat32 } from "../../src/core/tensor.ts";
import { planEvaluationBatches } from "../../src/data/encoding/batching.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildFeatureGraph } from "../../src/train/graphs.ts";
import { modelFeeds } from "../../src/train/trainer.ts";

const { values: flags } = parseArgs({
  options: { corpus: { type: "string" }, teacher: { type: "string" }, out: { type: "string" } },
});
if (flags.corpus === undefined || flags.teacher === undefined || flags.out === undefined)
  throw new ConfigError("give --corpus, --teacher and --out");

const sentences = readFileSync(flags.corpus, "utf8")
  .split("\n")
  .filter((line) => line !== "");
const { backbone, tokenizer } = await loadBackbone(flags.teacher);
const feature = { pooling: "mean", normalize: true } as const;
await using executable = await nodeRuntime.compile(buildFeatureGraph({ backbone, feature }));
const encodings = sentences.map((text) => tokenizer.encode({ text }, 64));
const batches = planEvaluationBatches(
  encodings.map(({ ids }) => ids.length),
  32,
);
const rowBytes = backbone.width * 4;
const file = openSync(flags.out, "w");
const start = performance.now();
let done = 0;
for (const indices of batches) {
  const { feeds } = modelFeeds(
    { backbone, feature },
    indices.map((index) => encodings[index]!),
    tokenizer.padId,
  );
  const { data } = asFloat32((await executable.run(feeds)).feature, "feature");
  indices.forEach((index, row) => {
    const vector = data.slice(row * backbone.width, (row + 1) * backbone.width);
    writeSync(file, new Uint8Array(vector.buffer), 0, rowBytes, index * rowBytes);
  });
  done += indices.length;
  if (done % 6400 < 32) {
    const seconds = (performance.now() - start) / 1000;
    process.stderr.write(`\r${done}/${sentences.length} sentences, ${Math.round(done / seconds)}/s   `);
  }
}
closeSync(file);
process.stderr.write(
  `\n${sentences.length} vectors of ${backbone.width} in ${Math.round((performance.now() - start) / 1000)} s\n`,
);
