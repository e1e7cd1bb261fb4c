/**
 * A decoder under LoRA side by side with PyTorch + peft: a training step, and greedy decoding with a key-value cache:
 * `npx tsx bench/generate.ts --python ~/venv-accrete/bin/python [--model models/smollm2-135m] [--rounds 6] [--threads 2]`.
 * Two processes at a time take turns; reported are medians of wall and processor time, their
 * ratios, and each process's peak memory.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError, EngineError } from "../src/core/errors.ts";
import { takeTurns, Worker } from "./sideBySide.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    model: { type: "string", default: "models/smollm2-135m" },
    rounds: { type: "string", default: "6" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const python = flags.python;
if (python === undefined)
  throw new ConfigError("give --python, an interpreter with tools/requirements.txt installed");
if (!existsSync(flags.model)) throw new ConfigError(`--model: no folder at ${flags.model}`);

const here = fileURLToPath(new URL(".", import.meta.url));
/** Tokens of a text, of its answer in training, and new ones in decoding. */
const [T, ANSWER, NEW] = [24, 4, 40];

const cases = [
  { mode: "train", batch: 8, what: `training step, 8 × ${T} tokens, ${ANSWER} of them the answer` },
  { mode: "decode", batch: 1, what: `${NEW} tokens behind ${T}, 1 text` },
  { mode: "decode", batch: 8, what: `${NEW} tokens behind ${T}, 8 texts` },
] as const;

async function compare({ mode, batch, what }: (typeof cases)[number]) {
  const settings = {
    model: flags.model,
    batch,
    length: T,
    answer: ANSWER,
    tokens: NEW,
    mode,
    threads: flags.threads,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const ours = new Worker(process.execPath, ["--import", "tsx", join(here, "generateWorker.ts"), ...args]);
  const theirs = new Worker(python ?? "python3", [join(here, "peers", "generate_worker.py"), ...args]);
  await ours.read();
  await theirs.read();
  const [accrete, peft] = await takeTurns([ours, theirs], Number(flags.rounds), mode === "train" ? 3 : 1);
  if (accrete === undefined || peft === undefined) throw new EngineError("a worker was not measured");
  ours.quit();
  theirs.quit();
  const rate = ({ milliseconds }: { readonly milliseconds: number }) =>
    mode === "decode" ? { tokensPerSecond: (1000 * batch * NEW) / milliseconds } : {};
  return {
    what,
    accrete: { ...accrete, ...rate(accrete) },
    peft: { ...peft, ...rate(peft) },
    /** Above 1: we are faster. */
    speedup: peft.milliseconds / accrete.milliseconds,
    cpuSpeedup: peft.cpuMilliseconds / accrete.cpuMilliseconds,
  };
}

const rows: Awaited<ReturnType<typeof compare>>[] = [];
for (const each of cases) {
  const row = await compare(each);
  rows.push(row);
  process.stderr.write(`${JSON.stringify(row)}\n`);
}

type Side = (typeof rows)[number]["accrete"];
const shown = ({ milliseconds, tokensPerSecond }: Side) =>
  tokensPerSecond === undefined ? `${milliseconds.toFixed(0)} ms` : `${tokensPerSecond.toFixed(1)} tokens/s`;

if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
else {
  process.stdout.write(
    "| | Accrete | PyTorch + peft | ratio | processor ms: Accrete | PyTorch | ratio | peak MB: Accrete | PyTorch |\n",
  );
  process.stdout.write("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const { what, accrete, peft, speedup, cpuSpeedup } of rows) {
    const cpu = `${accrete.cpuMilliseconds.toFixed(0)} | ${peft.cpuMilliseconds.toFixed(0)} | ${cpuSpeedup.toFixed(2)}×`;
    process.stdout.write(
      `| ${what} | ${shown(accrete)} | ${shown(peft)} | ${speedup.toFixed(2)}× | ${cpu} | ${accrete.peakMb} | ${peft.peakMb} |\n`,
    );
  }
}
