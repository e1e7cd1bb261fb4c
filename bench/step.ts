/**
 * One LoRA training step and one evaluation pass in fp32 and int8, side by side with PyTorch + peft in fp32 and bf16:
 * `npx tsx bench/step.ts --python ~/venv-accrete/bin/python [--minilm ../shared/models/minilm-l6] [--rounds 12] [--threads 2] [--only "MiniLM-L6 eval 32"]`.
 * Four processes take turns, a few steps each; reported are medians, what they are of each of PyTorch's, and each process's peak
 * memory. Without --python the ratio is of our two alone. BERT-base has random weights, written to a temporary folder.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError } from "../src/core/errors.ts";
import { createRng } from "../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../src/core/tensor.ts";
import { encodeSafetensors } from "../src/io/safetensors.ts";
import { openBert } from "../src/nn/encoders/bert.ts";
import { buildEncoder } from "../src/nn/encoders/encoderNetwork.ts";
import { noDropout, noTransform } from "../src/nn/layers/layers.ts";
import { inputParameters } from "../src/nn/layers/parameters.ts";
import { declareTokenInputs } from "../src/nn/layers/tokens.ts";
import { compareSides, type Row, sidesOf, sideTable, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    minilm: { type: "string", default: "../shared/models/minilm-l6" },
    rounds: { type: "string", default: "12" },
    threads: { type: "string", default: "2" },
    /** Rows whose model, mode, batch and tokens begin so. */
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const { python } = flags;
if (!existsSync(flags.minilm)) throw new ConfigError(`--minilm: no folder at ${flags.minilm}`);

const here = fileURLToPath(new URL(".", import.meta.url));

function writeBertBase(folder: string): void {
  const config = {
    model_type: "bert",
    architectures: ["BertModel"],
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    vocab_size: 30522,
    max_position_embeddings: 512,
  };
  const parameters = inputParameters();
  const context = { parameters, transform: noTransform, dropout: noDropout };
  buildEncoder(openBert(config, "BERT-base"), context, declareTokenInputs());
  const rng = createRng(1);
  const tensors = new Map<string, HostTensor>(
    parameters.declared.map(({ name, dims }) => {
      const draw = rng.fork(name);
      const fill = name.endsWith("LayerNorm.weight") ? () => 1 : () => 0.04 * (draw.uniform() - 0.5);
      return [name, float32(Float32Array.from({ length: sizeOf(dims) }, fill), dims)];
    }),
  );
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));
}

const sides = sidesOf(python);

function compare(model: string, folder: string, mode: string, B: number, T: number): Promise<Row> {
  const common = ["--batch", String(B), "--length", String(T), "--mode", mode, "--threads", flags.threads];
  const each = B * T > 256 && model === "BERT-base" ? 2 : 5;
  const turns = { rounds: Number(flags.rounds), each };
  return compareSides(sides, [model, mode, `${B} × ${T}`], turns, (ours, precision) => {
    const args = ["--model", folder, "--precision", precision, ...common];
    return ours
      ? new Worker(process.execPath, ["--import", "tsx", join(here, "accreteWorker.ts"), ...args])
      : new Worker(python ?? "python3", [join(here, "peers", "peft_worker.py"), ...args]);
  });
}

const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
const rows: Row[] = [];
try {
  writeBertBase(folder);
  for (const [model, place] of [
    ["MiniLM-L6", flags.minilm],
    ["BERT-base", folder],
  ] as const)
    for (const mode of ["train", "eval"])
      for (const [B, T] of [
        [4, 16],
        [32, 32],
      ] as const) {
        if (!`${model} ${mode} ${B} × ${T}`.startsWith(flags.only)) continue;
        const row = await compare(model, place, mode, B, T);
        rows.push(row);
        process.stderr.write(`${JSON.stringify(row)}\n`);
      }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const names = ["model", "mode", "batch × tokens"];
process.stdout.write(flags.json ? `${JSON.stringify(rows)}\n` : sideTable(sides, names, rows));
