/**
 * One LoRA training step and one evaluation pass in fp32 and int8, side by side with PyTorch + peft in fp32 and bf16:
 * `npx tsx bench/step.ts --python ~/venv-accrete/bin/python [--minilm ../shared/models/minilm-l6] [--rounds 12] [--threads 2]`.
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
import { type Measured, takeTurns, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    minilm: { type: "string", default: "../shared/models/minilm-l6" },
    rounds: { type: "string", default: "12" },
    threads: { type: "string", default: "2" },
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

/** What takes turns: our precisions, and PyTorch's. */
const sides = [
  "Accrete fp32",
  "Accrete int8",
  ...(python === undefined ? [] : ["PyTorch fp32", "PyTorch bf16"]),
];

interface Row {
  readonly model: string;
  readonly mode: string;
  readonly shape: string;
  readonly measured: Readonly<Record<string, Measured>>;
}

function start(side: string, model: string, common: readonly string[]): Worker {
  const [who, precision = "fp32"] = side.split(" ");
  const args = ["--model", model, "--precision", precision, ...common];
  if (who === "Accrete")
    return new Worker(process.execPath, ["--import", "tsx", join(here, "accreteWorker.ts"), ...args]);
  return new Worker(python ?? "python3", [join(here, "peers", "peft_worker.py"), ...args]);
}

async function compare(model: string, folder: string, mode: string, B: number, T: number): Promise<Row> {
  const common = ["--batch", String(B), "--length", String(T), "--mode", mode, "--threads", flags.threads];
  const workers: Worker[] = [];
  for (const side of sides) {
    const worker = start(side, folder, common);
    await worker.read();
    workers.push(worker);
  }
  const each = B * T > 256 && model === "BERT-base" ? 2 : 5;
  const measured = await takeTurns(workers, Number(flags.rounds), each);
  for (const worker of workers) worker.quit();
  return {
    model,
    mode,
    shape: `${B} × ${T}`,
    measured: Object.fromEntries(measured.map((own, i) => [sides[i] ?? "", own])),
  };
}

const time = (row: Row, side: string) => row.measured[side]?.milliseconds ?? Number.NaN;
/** Above 1: ours is faster. */
const ratio = (row: Row, ours: string, theirs: string) =>
  `${(time(row, theirs) / time(row, ours)).toFixed(2)}×`;

/** Of each row the times, what ours are of theirs, and the peaks. */
function table(rows: readonly Row[]): string {
  const pairs = sides
    .filter((side) => side.startsWith("PyTorch"))
    .flatMap((theirs) => ["Accrete fp32", "Accrete int8"].map((ours) => [ours, theirs] as const));
  const compared = pairs.length > 0 ? pairs : [["Accrete int8", "Accrete fp32"] as const];
  const head = [
    "model",
    "mode",
    "batch × tokens",
    ...sides.map((side) => `${side}, ms`),
    ...compared.map(([ours, theirs]) => `${ours} : ${theirs}`),
    ...sides.map((side) => `peak MB, ${side}`),
  ];
  const lines = rows.map((row) => [
    row.model,
    row.mode,
    row.shape,
    ...sides.map((side) => time(row, side).toFixed(1)),
    ...compared.map(([ours, theirs]) => ratio(row, ours, theirs)),
    ...sides.map((side) => String(row.measured[side]?.peakMb ?? "")),
  ]);
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
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
        const row = await compare(model, place, mode, B, T);
        rows.push(row);
        process.stderr.write(`${JSON.stringify(row)}\n`);
      }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

process.stdout.write(flags.json ? `${JSON.stringify(rows)}\n` : table(rows));
