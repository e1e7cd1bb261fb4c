/**
 * One LoRA training step and one evaluation pass, side by side with PyTorch + peft:
 * `npx tsx bench/step.ts --python ~/venv-accrete/bin/python [--minilm ../shared/models/minilm-l6] [--rounds 12]`.
 * Two processes at a time take turns, a few steps each; reported are medians, their ratio, and each process's peak
 * memory. BERT-base has random weights, written to a temporary folder.
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
import { takeTurns, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    minilm: { type: "string", default: "../shared/models/minilm-l6" },
    rounds: { type: "string", default: "12" },
    json: { type: "boolean", default: false },
  },
});
const python = flags.python;
if (python === undefined)
  throw new ConfigError("give --python, an interpreter with tools/requirements.txt installed");
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

interface Row {
  readonly model: string;
  readonly mode: string;
  readonly shape: string;
  readonly accreteMs: number;
  readonly peftMs: number;
  /** Above 1: we are faster. */
  readonly speedup: number;
  readonly accretePeakMb: number;
  readonly peftPeakMb: number;
}

async function compare(
  model: string,
  ours: string,
  theirs: string,
  mode: string,
  B: number,
  T: number,
  rounds: number,
): Promise<Row> {
  const common = ["--batch", String(B), "--length", String(T), "--mode", mode];
  const a = new Worker(process.execPath, [
    "--import",
    "tsx",
    join(here, "accreteWorker.ts"),
    "--model",
    ours,
    ...common,
  ]);
  await a.read();
  const b = new Worker(python ?? "python3", [
    join(here, "peers", "peft_worker.py"),
    "--model",
    theirs,
    ...common,
  ]);
  await b.read();
  const each = B * T > 256 && model === "BERT-base" ? 2 : 5;
  const [accrete, peft] = await takeTurns([a, b], rounds, each);
  a.quit();
  b.quit();
  return {
    model,
    mode,
    shape: `${B} × ${T}`,
    accreteMs: accrete.milliseconds,
    peftMs: peft.milliseconds,
    speedup: peft.milliseconds / accrete.milliseconds,
    accretePeakMb: accrete.peakMb,
    peftPeakMb: peft.peakMb,
  };
}

const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
const rows: Row[] = [];
try {
  writeBertBase(folder);
  for (const [model, ours, theirs] of [
    ["MiniLM-L6", flags.minilm, flags.minilm],
    ["BERT-base", folder, folder],
  ] as const)
    for (const mode of ["train", "eval"])
      for (const [B, T] of [
        [4, 16],
        [32, 32],
      ] as const) {
        const row = await compare(model, ours, theirs, mode, B, T, Number(flags.rounds));
        rows.push(row);
        process.stderr.write(`${JSON.stringify(row)}\n`);
      }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
else {
  process.stdout.write(
    "| model | mode | batch × tokens | Accrete, ms | PyTorch + peft, ms | ratio | peak MB: Accrete | PyTorch |\n",
  );
  process.stdout.write("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const row of rows)
    process.stdout.write(
      `| ${row.model} | ${row.mode} | ${row.shape} | ${row.accreteMs.toFixed(1)} | ${row.peftMs.toFixed(1)} | ${row.speedup.toFixed(2)}× | ${row.accretePeakMb} | ${row.peftPeakMb} |\n`,
    );
}
