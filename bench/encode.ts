/**
 * Encoding 1,000 texts in fp32 and int8, side by side with sentence-transformers (PyTorch, fp32 and bf16) and transformers.js:
 * `npx tsx bench/encode.ts --python ~/venv-accrete/bin/python --packages FOLDER [--model ../shared/models/minilm-l6]
 * [--texts 1000] [--rounds 5] [--threads 2]`. FOLDER holds node_modules/@huggingface/transformers. The texts are CLINC150's
 * first test texts. Processes take turns; reported are medians of the clock, ratios, and each process's peak memory.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { ConfigError } from "../src/core/errors.ts";
import { loadStream } from "../src/data/stream.ts";
import { type Measured, takeTurns, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    packages: { type: "string" },
    model: { type: "string", default: "../shared/models/minilm-l6" },
    data: { type: "string", default: "../shared/data/clinc150" },
    texts: { type: "string", default: "1000" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
  },
});
const { python, packages, model, threads } = flags;
if (python === undefined || packages === undefined)
  throw new ConfigError("no --python or no --packages: there is nothing to compare with");

const here = fileURLToPath(new URL(".", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "accrete-encode-"));

async function firstTexts(count: number): Promise<string[]> {
  const stream = { recipe: "clinc150", path: flags.data, tasks: 1 };
  const config = resolveConfig({ backbone: "unused", stream, seed: 1, out: "unused" }, process.cwd());
  const { tasks } = await loadStream(config.stream, config.seed);
  return tasks.flatMap(({ test }) => test.map(({ text }) => text)).slice(0, count);
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}

function table(count: number, sides: readonly string[], measured: readonly Measured[]): string {
  const [fp32, int8] = measured.map(({ milliseconds }) => milliseconds);
  const rows = measured.map(({ milliseconds, cpuMilliseconds, peakMb }, i) =>
    line([
      sides[i] ?? "",
      `${milliseconds.toFixed(0)} ms`,
      `${((1000 * count) / milliseconds).toFixed(0)}`,
      `${cpuMilliseconds.toFixed(0)} ms`,
      `${(milliseconds / (fp32 ?? 0)).toFixed(2)}×`,
      `${(milliseconds / (int8 ?? 0)).toFixed(2)}×`,
      String(peakMb),
    ]),
  );
  const head = [
    `${count} texts`,
    "time",
    "texts a second",
    "processor time",
    "Accrete fp32 is faster by",
    "int8 by",
    "peak MB",
  ];
  return [line(head), line(head.map(() => "---")), ...rows].join("");
}

const texts = await firstTexts(Number(flags.texts));
const file = join(work, "texts.json");
writeFileSync(file, JSON.stringify(texts));
const exported = join(work, "minilm");
const peer = join(here, "peers/encode_worker.py");
execFileSync(python, [peer, "--model", model, "--onnx", exported], {
  stdio: ["ignore", "ignore", "inherit"],
});
const common = ["--model", model, "--texts", file, "--threads", threads];
const ours = (precision: string) =>
  new Worker(process.execPath, [
    "--import",
    "tsx",
    join(here, "encodeWorker.ts"),
    ...common,
    "--precision",
    precision,
  ]);
const theirs = (precision: string) => new Worker(python, [peer, ...common, "--precision", precision]);
const script = join(here, "peers/encode_worker.mjs");
const sides = {
  "Accrete fp32": ours("fp32"),
  "Accrete int8": ours("int8"),
  "sentence-transformers fp32": theirs("fp32"),
  "sentence-transformers bf16": theirs("bf16"),
  "transformers.js fp32": new Worker(process.execPath, [script, packages, exported, file, threads]),
};
const workers = Object.values(sides);
for (const worker of workers) await worker.read();
const measured = await takeTurns(workers, Number(flags.rounds), 1);
for (const worker of workers) worker.quit();
process.stdout.write(table(texts.length, Object.keys(sides), measured));
rmSync(work, { recursive: true });
