/**
 * The whole run of CLINC150 in 15 tasks of 10, with training, router and all evaluations, beside the original's way in PyTorch + peft:
 * `npx tsx bench/wholeRun.ts --python ~/venv-accrete/bin/python [--ours int8,fp32] [--threads 2] [--set router.kind=auto …]`.
 *
 * Ours runs whole, in each precision. The original's would take an hour or more: samples of its steps and passes, taken before, between and
 * behind our runs, are multiplied by how many there are, and their mean is taken. Batches of 4, 5 epochs; after each task every test text of every task so far goes
 * through every adapter so far. Reported: seconds, the samples' range, and how many times as fast ours is.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { ConfigError } from "../src/core/errors.ts";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    config: { type: "string", default: "configs/clinc150.yaml" },
    minilm: { type: "string", default: "../shared/models/minilm-l6" },
    data: { type: "string", default: "../shared/data/clinc150" },
    ours: { type: "string", default: "int8,fp32" },
    threads: { type: "string", default: "2" },
    set: { type: "string", multiple: true, default: [] },
  },
});
const { python } = flags;
if (python === undefined) throw new ConfigError("--python: name the interpreter of tools/requirements.txt");
for (const place of [flags.minilm, flags.data])
  if (!existsSync(place)) throw new ConfigError(`no folder at ${place}`);

const TASKS = 15;
const [TRAIN_TEXTS, TEST_TEXTS, EPOCHS, BATCH] = [1000, 300, 5, 4];
const steps = (TASKS * EPOCHS * TRAIN_TEXTS) / BATCH;
/** Σ over tasks t of the test texts of t tasks through t adapters. */
const passes = Array.from({ length: TASKS }, (_, t) => TEST_TEXTS * (t + 1) ** 2).reduce((a, b) => a + b, 0);

const sampleSchema = z.object({ secondsPerStep: z.number(), secondsPerPass: z.number() });

/** Seconds that the original's whole run would take, by steps and passes that were measured at one time. */
interface Sample {
  readonly training: number;
  readonly evaluation: number;
}

function sample(precision: string): Sample {
  const script = ["bench/peers/original_way.py", "--model", flags.minilm, "--data", flags.data];
  const args = [...script, "--precision", precision, "--threads", flags.threads];
  const { secondsPerStep, secondsPerPass } = sampleSchema.parse(
    JSON.parse(execFileSync(python ?? "", args, { encoding: "utf8" })),
  );
  process.stderr.write(
    `PyTorch ${precision}: ${(1000 * secondsPerStep).toFixed(1)} ms a step, ${(1000 * secondsPerPass).toFixed(2)} ms a pass\n`,
  );
  return { training: steps * secondsPerStep, evaluation: passes * secondsPerPass };
}

function runOurs(precision: string): number {
  const out = mkdtempSync(join(tmpdir(), "accrete-whole-"));
  const settings = [`threads=${flags.threads}`, `precision=${precision}`, ...flags.set];
  const args = [
    "run",
    flags.config,
    "--out",
    join(out, "run"),
    "--quiet",
    ...settings.flatMap((s) => ["--set", s]),
  ];
  const start = performance.now();
  try {
    execFileSync(process.execPath, ["dist/cli/main.js", ...args], { stdio: ["ignore", "ignore", "inherit"] });
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
  const seconds = (performance.now() - start) / 1000;
  process.stderr.write(`Accrete ${precision}: ${seconds.toFixed(0)} s\n`);
  return seconds;
}

const peers = ["fp32", "bf16"] as const;
const samples = { fp32: [sample("fp32")], bf16: [sample("bf16")] };
const sampleAgain = () => {
  for (const precision of peers) samples[precision].push(sample(precision));
};
const ours = new Map<string, number>();
for (const precision of flags.ours.split(",")) {
  ours.set(precision, runOurs(precision));
  sampleAgain();
}

const lines = [
  `| | training | evaluation | whole run |${[...ours.keys()].map((own) => ` Accrete ${own} is faster by |`).join("")}`,
  `| --- | --- | --- | --- |${" --- |".repeat(ours.size)}`,
];
for (const precision of peers) {
  const of = samples[precision];
  const mean = (part: (each: Sample) => number) => of.reduce((sum, each) => sum + part(each), 0) / of.length;
  const wholes = of.map(({ training, evaluation }) => training + evaluation);
  const whole = mean(({ training, evaluation }) => training + evaluation);
  const range = `${Math.min(...wholes).toFixed(0)}–${Math.max(...wholes).toFixed(0)}`;
  const ratios = [...ours.values()].map((own) => `${(whole / own).toFixed(1)}×`);
  const times = [mean(({ training }) => training), mean(({ evaluation }) => evaluation)].map(
    (t) => `${t.toFixed(0)} s`,
  );
  lines.push(
    `| the original's way, PyTorch ${precision} | ${times.join(" | ")} | ${whole.toFixed(0)} s (${range}) | ${ratios.join(" | ")} |`,
  );
}
for (const [precision, seconds] of ours)
  lines.push(`| Accrete ${precision} | | | ${seconds.toFixed(0)} s |${" |".repeat(ours.size)}`);
process.stdout.write(`${lines.join("\n")}\n`);
