/**
 * A decoder under LoRA in fp32 and int8, side by side with PyTorch + peft in fp32 and bf16: a training step, and greedy decoding with
 * a key-value cache:
 * `npx tsx bench/generate.ts --python ~/venv-accrete/bin/python [--model models/smollm2-135m] [--rounds 6] [--threads 2]`.
 * Four processes take turns; reported are medians of the clock, their ratios, and each process's peak memory. Without --python the
 * ratio is of our two alone.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError } from "../src/core/errors.ts";
import { compareSides, type Measured, type Row, sidesOf, sideTable, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    model: { type: "string", default: "models/smollm2-135m" },
    rounds: { type: "string", default: "6" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const { python } = flags;
if (!existsSync(flags.model)) throw new ConfigError(`--model: no folder at ${flags.model}`);

const here = fileURLToPath(new URL(".", import.meta.url));
/** Tokens of a text, of its answer in training, and new ones in decoding. */
const [T, ANSWER, NEW] = [24, 4, 40];

const cases = [
  { mode: "train", batch: 8, what: `training step, 8 × ${T} tokens, ${ANSWER} of them the answer` },
  { mode: "decode", batch: 1, what: `${NEW} tokens behind ${T}, 1 text` },
  { mode: "decode", batch: 8, what: `${NEW} tokens behind ${T}, 8 texts` },
] as const;

const sides = sidesOf(python);

const rows: Row[] = [];
for (const { mode, batch, what } of cases) {
  const settings = {
    model: flags.model,
    batch,
    length: T,
    answer: ANSWER,
    tokens: NEW,
    mode,
    threads: flags.threads,
  };
  const common = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const turns = { rounds: Number(flags.rounds), each: mode === "train" ? 3 : 1 };
  const row = await compareSides(sides, [what, mode, String(batch)], turns, (ours, precision) => {
    const args = ["--precision", precision, ...common];
    return ours
      ? new Worker(process.execPath, ["--import", "tsx", join(here, "generateWorker.ts"), ...args])
      : new Worker(python ?? "python3", [join(here, "peers", "generate_worker.py"), ...args]);
  });
  rows.push(row);
  process.stderr.write(`${JSON.stringify(row)}\n`);
}

/** Of decoding, new tokens a second. */
function shown({ milliseconds }: Measured, { what: [, mode, batch] }: Row): string {
  if (mode !== "decode") return `${milliseconds.toFixed(0)} ms`;
  return `${((1000 * Number(batch) * NEW) / milliseconds).toFixed(1)} tokens/s`;
}

const names = ["", "mode", "texts"];
process.stdout.write(flags.json ? `${JSON.stringify(rows)}\n` : sideTable(sides, names, rows, shown));
