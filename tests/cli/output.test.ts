import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatSummary, summarise } from "../../src/cli/commands/seeds.ts";
import { formatFailure } from "../../src/cli/terminal/failure.ts";
import { formatBytes, formatDuration } from "../../src/cli/terminal/format.ts";
import { readLines } from "../../src/cli/terminal/lines.ts";
import { ProgressPrinter } from "../../src/cli/terminal/progress.ts";
import { quote } from "../../src/cli/terminal/shell.ts";
import { ConfigError, DataError, EngineError } from "../../src/core/errors.ts";
import { spreadOf } from "../../src/core/spread.ts";
import { listeningTerminal } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { at, evaluatedEvent, metrics, started, stepEvent } from "../support/records.ts";
import { digits } from "../support/tolerances.ts";

const bodies = [
  started,
  { type: "warning", message: "2 train rows dropped." },
  {
    type: "task-started",
    task: 0,
    name: "travel",
    labels: ["a", "b"],
    trainExamples: 1200,
    validationExamples: 30,
    testExamples: 60,
    totalSteps: 225,
  },
  stepEvent(0, 1, 225, 0.7),
  { type: "epoch", task: 0, epoch: 0, meanLoss: 0.5, validationAccuracy: 0.95 },
  {
    type: "task-learned",
    task: 0,
    name: "travel",
    adapter: "e".repeat(64),
    seconds: 75,
    truncatedTexts: 3,
    stoppedEarly: true,
  },
  evaluatedEvent([0.9], [0.8]),
  { type: "run-finished", metrics },
] as const;

describe("progress", () => {
  test("away from a terminal: plain lines, none for steps", () => {
    const terminal = listeningTerminal(false);
    const printer = new ProgressPrinter(terminal);
    for (const [i, body] of bodies.entries()) printer.print(at(i, body));
    printer.clear();
    expect(terminal.heard()).toEqual({
      out: "",
      err: `backbone   ./model (aaaaaaaaaaaa)
frozen     22,713,216 parameters
trainable  40,970 parameters a task
tasks      2, 4 labels in all
memory     about 90.9 MB of weights a session, activations on top
seed       1
note: 2 train rows dropped.
task 1/2 travel: 2 labels, 1,200 train, 30 validation, 60 test, 225 steps
task 1/2 epoch 1: loss 0.5000, validation 95.0 %
task 1/2 learned in 1 min 15 s, stopped early, 3 texts cut to maxLength
task 1/2 evaluated: CIL 80.0 %, TIL 90.0 % on 1 task (1 s)
`,
    });
  });

  test("on a terminal: one line that renews itself and makes way for the others", () => {
    const terminal = listeningTerminal(true);
    const printer = new ProgressPrinter(terminal);
    printer.print(at(0, started));
    const before = terminal.heard().err.length;
    printer.print(at(1, stepEvent(0, 1, 225, 0.7)));
    printer.print(at(2, { type: "warning", message: "hm" }));
    expect(terminal.heard().err.slice(before)).toBe(
      "\r\u001b[Ktask 1/2 · epoch 1 · step 1/225 · loss 0.700 · 100 examples/s · 1,200 tokens/s · 1 min 05 s left" +
        "\r\u001b[Knote: hm\n",
    );
  });

  test("on a terminal: what goes on once a task is learned, until it is evaluated", () => {
    const terminal = listeningTerminal(true);
    const printer = new ProgressPrinter(terminal);
    printer.print(at(0, started));
    const before = terminal.heard().err.length;
    const fitting = { stage: "fit", kind: "ensemble", member: 2, members: 4 } as const;
    printer.print(at(1, { type: "router-fitting", task: 0, ...fitting }));
    for (const [i, body] of bodies.slice(5, 7).entries()) printer.print(at(i + 2, body));
    const heard = terminal.heard().err.slice(before);
    const renewed = "\r\u001b[Ktask 1/2 · router ensemble: fitting to all texts, 2 of 4 …";
    expect(heard.startsWith(`${renewed}\r\u001b[Ktask 1/2 learned`)).toBe(true);
    expect(heard).toContain(
      "cut to maxLength\n\r\u001b[Ktask 1/2 · evaluating …\r\u001b[Ktask 1/2 evaluated",
    );
  });

  test("never longer than the line", () => {
    const terminal = { ...listeningTerminal(true), errWidth: 40 };
    new ProgressPrinter(terminal).print(at(1, stepEvent(0, 1, 225)));
    expect(terminal.heard().err.replace("\r\u001b[K", "")).toHaveLength(39);
  });
});

describe("failures", () => {
  test("a configuration's issues and hint", () => {
    const issues = [{ path: "seed", expected: "a whole number", received: '"x"' }];
    const error = new ConfigError("a.yaml: 1 problem", { issues, hint: "Look again." });
    expect(formatFailure(error, false)).toEqual({
      text: 'accrete: a.yaml: 1 problem\n  seed: expected a whole number, got "x"\n  Look again.\n',
      exitCode: 2,
    });
  });

  test("a cause that says more; the stack only with debug", () => {
    const error = new DataError("a.jsonl: cannot be read", { cause: new EngineError("disk on fire") });
    expect(formatFailure(error, false).text).toBe(
      "accrete: a.jsonl: cannot be read\n  because: disk on fire\n",
    );
    expect(formatFailure(error, true).text).toMatch(/at .*output\.test\.ts[\s\S]*caused by: EngineError/);
  });

  test("what is no error of ours exits 1", () => {
    expect(formatFailure(new RangeError("odd"), false)).toMatchObject({ exitCode: 1 });
    expect(formatFailure("odd", false)).toEqual({ text: "accrete: odd\n", exitCode: 1 });
  });
});

describe("seeds", () => {
  test("mean and sample standard deviation", () => {
    expect(spreadOf([1, 2, 4])).toEqual({
      mean: 7 / 3,
      standardDeviation: Math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2),
      values: [1, 2, 4],
    });
    expect(spreadOf([3])).toEqual({ mean: 3, values: [3] });
  });

  test("a figure that one run lacks is absent, and shown as –", () => {
    const { forgetting: _, ...til } = metrics.til;
    const other = { ...metrics, til, cil: { ...metrics.cil, averageAccuracy: 0.8 } };
    const summary = summarise([1, 2], [metrics, other]);
    expect(summary.til).not.toHaveProperty("forgetting");
    expect(summary.cil.averageAccuracy).toMatchObject({
      mean: expect.closeTo(0.85, digits.float64),
      values: [0.9, 0.8],
    });
    expect(formatSummary(summary)).toBe(
      `2 seeds: 1, 2 (percent, mean ± sample standard deviation)
                                        CIL            TIL
average accuracy               85.00 ± 7.07   90.00 ± 0.00
accuracy over samples          90.00 ± 0.00   90.00 ± 0.00
average incremental accuracy   90.00 ± 0.00   90.00 ± 0.00
forgetting                     10.00 ± 0.00              –
backward transfer             -10.00 ± 0.00  -10.00 ± 0.00
training 3 s a seed on average
`,
    );
  });
});

test("the seeds' summary has a router's figures and the baseline where every run has them", () => {
  const routed = { ...metrics.cil, averageAccuracy: 0.85, passesPerExample: 1.5, taskAccuracy: 0.95 };
  const baseline = { method: "n-grams", cil: 0.5, til: 0.6, seconds: 1 };
  const one = { ...metrics, routed, baseline };
  const other = { ...one, baseline: { ...baseline, cil: 0.7 } };
  const text = formatSummary(summarise([1, 2], [one, other]));
  expect(text).toMatch(/^ +CIL +routed +TIL$/m);
  expect(text).toMatch(/^average accuracy +90\.00 ± 0\.00 +85\.00 ± 0\.00 +90\.00 ± 0\.00$/m);
  expect(text).toContain("routed: task found 95.00 ± 0.00; 1.50 passes an example\n");
  expect(text).toContain(
    "baseline, a classifier of spellings without a network: CIL 60.00 ± 14.14, TIL 60.00 ± 0.00\n",
  );
  expect(
    summarise(
      [1, 2],
      [one, { ...one, baseline: undefined }].map(({ baseline: own, ...rest }) => ({
        ...rest,
        ...(own && { baseline: own }),
      })),
    ),
  ).not.toHaveProperty("baseline");
});

describe("readLines", () => {
  async function collect(path: string): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of readLines(path)) lines.push(line);
    return lines;
  }

  async function linesOf(bytes: Uint8Array | string): Promise<string[]> {
    const path = join(await temporaryFolder(), "texts.txt");
    await writeFile(path, bytes);
    return collect(path);
  }

  test.each([
    ["line feeds", "a\nb\n", ["a", "b"]],
    ["carriage returns, an empty line, no last line end", "a\r\n\r\nb", ["a", "", "b"]],
    ["a byte order mark", "\ufeffa\n", ["a"]],
    ["nothing", "", []],
    ["a line longer than a chunk", `${"é".repeat(50_000)}\nb`, ["é".repeat(50_000), "b"]],
  ])("%s", async (_, text, lines) => {
    expect(await linesOf(text)).toEqual(lines);
  });

  test("names the line that is not UTF-8", async () => {
    await expect(linesOf(Buffer.from([0x61, 0x0a, 0xe9, 0x0a]))).rejects.toThrow(
      /line 2: the file is not UTF-8/,
    );
  });

  test("a missing file is a DataError", async () => {
    await expect(collect("/nowhere/at/all")).rejects.toThrow(DataError);
  });
});

test.each([
  [0, "0 s"],
  [59.6, "1 min 00 s"],
  [185, "3 min 05 s"],
  [7440, "2 h 04 min"],
])("formatDuration(%d)", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test.each([
  [999, "999 B"],
  [90_868_376, "90.9 MB"],
  [123_456_789, "123 MB"],
])("formatBytes(%d)", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  ["configs/a.yaml", "configs/a.yaml"],
  ["my run", "'my run'"],
  ["it's", "'it'\\''s'"],
])("quote(%s)", (word, quoted) => expect(quote(word)).toBe(quoted));
