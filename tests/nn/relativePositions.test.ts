import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { debertaBucket } from "../../src/nn/encoders/debertaV2.ts";
import { mpnetBucket } from "../../src/nn/encoders/mpnet.ts";
import { goldensFolder } from "../support/goldens.ts";

const golden = z
  .object({ mpnet: z.array(z.number()), deberta: z.array(z.number()) })
  .parse(JSON.parse(readFileSync(join(goldensFolder, "relative-positions.json"), "utf8")));
const distances = Array.from({ length: 1023 }, (_, i) => i - 511);

test("MPNet's buckets are transformers' for every distance", () => {
  expect(distances.map(mpnetBucket)).toEqual(golden.mpnet);
});

test("DeBERTa v3's buckets are transformers' for every distance", () => {
  expect(distances.map((distance) => debertaBucket(distance, 256, 512))).toEqual(golden.deberta);
});
