/** Everything that can be wrong with what a user gives, driven from the command line on a whole tiny experiment. */
import { existsSync } from "node:fs";
import { appendFile, cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import {
  type AccreteError,
  CheckpointError,
  ConfigError,
  DataError,
  EngineError,
  StoreError,
} from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import type { HostTensor } from "../../src/core/tensor.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { nodeFileSystem } from "../../src/io/atomic.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { openRun } from "../../src/store/openRun.ts";
import { accrete } from "../support/cli.ts";
import { folderOfTestFile, temporaryFolder } from "../support/folders.ts";
import { configWith, runToEnd } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const root = folderOfTestFile("bad");
const template = join(root, "template");

beforeAll(async () => {
  await writeTinyExperiment(template);
  await editYaml(template, "epochs: 6", "epochs: 1");
});

/** A copy of the experiment in a folder of its own. */
async function experiment(): Promise<string> {
  const folder = await temporaryFolder();
  await cp(template, folder, { recursive: true });
  return folder;
}

async function edit(path: string, change: (text: string) => string): Promise<void> {
  const before = await readFile(path, "utf8");
  const after = change(before);
  expect(after, `the edit of ${path} changes nothing`).not.toBe(before);
  await writeFile(path, after);
}

const editYaml = (folder: string, from: string, to: string) =>
  edit(join(folder, "tiny.yaml"), (text) => text.replace(from, to));

const weightsFile = (folder: string) => join(folder, "model", "model.safetensors");

async function editTensors(folder: string, change: (tensors: Map<string, HostTensor>) => void) {
  const path = weightsFile(folder);
  const tensors = new Map(decodeSafetensors(await readFile(path), path).tensors);
  change(tensors);
  await writeFile(path, encodeSafetensors(tensors));
}

/** Writes another type's name into the header of the first tensor: a file as newer tools write it. */
async function renameType(folder: string, type: string): Promise<void> {
  const bytes = await readFile(weightsFile(folder));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = bytes
    .subarray(8, 8 + headerBytes)
    .toString("utf8")
    .replace('"F32"', `"${type}"`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  await writeFile(
    weightsFile(folder),
    Buffer.concat([length, Buffer.from(header), bytes.subarray(8 + headerBytes)]),
  );
}

async function trainFrom(folder: string, name: string, content: string | Uint8Array): Promise<void> {
  await editYaml(folder, "train.jsonl", name);
  await writeFile(join(folder, name), content);
}

const latin1 = (text: string) => Buffer.from(text, "latin1");
const someLayer = "encoder.layer.0.output.dense.weight";

interface Refusal {
  readonly name: string;
  readonly breakIt: (folder: string) => Promise<unknown>;
  readonly error: abstract new (...args: never[]) => AccreteError;
  /** What the user reads: `F` stands for the experiment's folder. */
  readonly says: readonly string[];
}

const refusals: readonly Refusal[] = [
  {
    name: "missing model file",
    breakIt: (folder) => rm(weightsFile(folder)),
    error: CheckpointError,
    says: ["F/model: no weights: looked for model.safetensors", "Hugging Face model?"],
  },
  {
    name: "missing model folder",
    breakIt: (folder) => rm(join(folder, "model"), { recursive: true }),
    error: CheckpointError,
    says: ["F/model: no such model folder\n", "Give the path of a Hugging Face model folder"],
  },
  {
    name: "missing tokenizer",
    breakIt: (folder) => rm(join(folder, "model", "tokenizer.json")),
    error: CheckpointError,
    says: ["F/model: tokenizer.json is missing", "save_pretrained(folder)"],
  },
  {
    name: "truncated safetensors",
    breakIt: async (folder) =>
      writeFile(weightsFile(folder), (await readFile(weightsFile(folder))).subarray(0, -100)),
    error: CheckpointError,
    says: ["F/model/model.safetensors: truncated: 100 bytes are missing", "Download or copy the file again."],
  },
  {
    name: "truncated safetensors header",
    breakIt: async (folder) =>
      writeFile(weightsFile(folder), (await readFile(weightsFile(folder))).subarray(0, 50)),
    error: CheckpointError,
    says: ["F/model/model.safetensors: truncated:", "bytes of the header are missing", "again."],
  },
  {
    name: "wrong dtype: one that nobody here knows",
    breakIt: (folder) => renameType(folder, "F8_E5M2"),
    error: CheckpointError,
    says: [
      "F/model/model.safetensors: tensor ",
      "is of type F8_E5M2, an 8-bit float: these weights are quantised",
      "dequantize()",
    ],
  },
  {
    name: "wrong dtype: integers where weights belong",
    breakIt: (folder) =>
      editTensors(folder, (tensors) => {
        const dims = tensors.get(someLayer)?.dims ?? [];
        tensors.set(someLayer, { dtype: "int32", dims, data: new Int32Array(16 * 32) });
      }),
    error: CheckpointError,
    says: [`tensor "${someLayer}" in F/model/model.safetensors: is of type int32`, "model.float()"],
  },
  {
    name: "a tensor that is not there",
    breakIt: (folder) => editTensors(folder, (tensors) => tensors.delete(someLayer)),
    error: CheckpointError,
    says: [`F/model: the model has no tensor "${someLayer}"`, "do not belong together"],
  },
  {
    name: "sizes that contradict config.json",
    breakIt: (folder) =>
      edit(join(folder, "model", "config.json"), (text) =>
        text.replace('"intermediate_size":32', '"intermediate_size":48'),
      ),
    error: CheckpointError,
    says: ["config.json says (48, 16), the file has (32, 16)", "do not belong together"],
  },
  {
    name: "unknown architecture",
    breakIt: (folder) =>
      edit(join(folder, "model", "config.json"), (text) => text.replace('"bert"', '"megatron"')),
    error: CheckpointError,
    says: ['F/model: unknown architecture "megatron"', "bert", "roberta"],
  },
  {
    name: "unknown config key",
    breakIt: (folder) => editYaml(folder, "epochs", "epoch"),
    error: ConfigError,
    says: ["F/tiny.yaml: 1 problem", "training.epoch: expected the key epochs (did you mean it?)"],
  },
  {
    name: "label in test unseen in train",
    breakIt: (folder) => appendFile(join(folder, "test.jsonl"), '{"text": "x y", "label": "aaa"}\n'),
    error: DataError,
    says: ['test has a label that train has not: "aaa" (1 row)', 'Did you mean "aa"? Else add train rows'],
  },
  {
    name: "empty task: labels without a row",
    breakIt: (folder) =>
      editYaml(
        folder,
        "tasks: 3",
        "taskList: [{ name: one, labels: [aa, bb, cc, dd, ee, ff] }, { name: two, labels: [bbb, b] }]",
      ),
    error: DataError,
    says: ["task two is empty: no training example has one of its labels", 'Did you mean "bb"?'],
  },
  {
    name: "empty task: nothing to test",
    breakIt: (folder) => edit(join(folder, "test.jsonl"), (text) => text.replace(/^.*"(aa|bb)"}\n/gm, "")),
    error: DataError,
    says: ["task task-0 has no test examples", "Add test rows with its labels."],
  },
  {
    name: "empty train file",
    breakIt: (folder) => writeFile(join(folder, "train.jsonl"), ""),
    error: DataError,
    says: ["F/train.jsonl has no examples", "Train needs rows of text and label."],
  },
  {
    name: "class count 1",
    breakIt: (folder) => editYaml(folder, "tasks: 3", "tasks: 6"),
    error: DataError,
    says: ['task task-0 has a single class, "aa"', "ask for fewer tasks"],
  },
  {
    name: "CSV with a row of too many fields",
    breakIt: (folder) => trainFrom(folder, "train.csv", "text,label\nhello,aa\nhello, you,bb\n"),
    error: DataError,
    says: ["F/train.csv, row 2 (line 3): 3 fields, the header has 2", "stands in double quotes"],
  },
  {
    name: "CSV with a broken quote",
    breakIt: (folder) => trainFrom(folder, "train.csv", 'text,label\nhello,aa\n"hel"lo,bb\nyou,bb\n'),
    error: DataError,
    says: ["F/train.csv, row 2: ", "stands in double quotes"],
  },
  {
    name: "JSONL with a broken line",
    breakIt: (folder) => appendFile(join(folder, "train.jsonl"), '{"text": "a"\n'),
    error: DataError,
    says: ["F/train.jsonl, line 241: not valid JSON", '{"text": "…", "label": "…"}'],
  },
  {
    name: "JSONL that is not UTF-8",
    breakIt: (folder) => appendFile(join(folder, "train.jsonl"), latin1('{"text": "café", "label": "aa"}\n')),
    error: DataError,
    says: ["F/train.jsonl, line 241: the file is not UTF-8", "iconv"],
  },
  {
    name: "CSV that is not UTF-8",
    breakIt: (folder) => trainFrom(folder, "train.csv", latin1("text,label\nhello,aa\ncafé,bb\n")),
    error: DataError,
    says: ["F/train.csv, line 3: the file is not UTF-8", "iconv"],
  },
  {
    name: "configuration that is not UTF-8",
    breakIt: (folder) => appendFile(join(folder, "tiny.yaml"), latin1("# café\n")),
    error: ConfigError,
    says: ["F/tiny.yaml: the file is not UTF-8", "iconv"],
  },
];

const configIn = (folder: string) => configWith(join(folder, "tiny.yaml"));

describe("is refused with exit 2, where and why, before anything is written", () => {
  test.each(refusals)("$name", async ({ breakIt, error, says }) => {
    const folder = await experiment();
    await breakIt(folder);
    const { exitCode, out, err } = await accrete("run", join(folder, "tiny.yaml"), "--quiet");
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
    const read = err.replaceAll(folder, "F");
    for (const part of says) expect(read).toContain(part);
    expect(read).toMatch(/^accrete: /);
    expect(read).not.toMatch(/\n {4}at |: undefined|\[object/);
    expect(existsSync(join(folder, "run"))).toBe(false);
    await expect(configIn(folder).then((config) => runToEnd(config))).rejects.toBeInstanceOf(error);
  });
});

describe("is no error", () => {
  test("a text of zero tokens, where the tokenizer adds special ones", async () => {
    const folder = await experiment();
    await appendFile(join(folder, "train.jsonl"), '{"text": "", "label": "aa"}\n');
    await appendFile(join(folder, "test.jsonl"), '{"text": " \\u200b ", "label": "aa"}\n');
    const events = await runToEnd(await configIn(folder));
    expect(events.at(-1)?.type).toBe("run-finished");
    await using predictor = await openRun(join(folder, "run"));
    const [prediction] = await predictor.predict([{ text: "" }]);
    expect(prediction?.label).toMatch(/^[a-f]{2}$/);
    expect(prediction?.score).toBeGreaterThan(0);
  });

  test("over-long text: it is cut, and counted", async () => {
    const folder = await experiment();
    const long = JSON.stringify({ text: `a ${"long ".repeat(600)}`, label: "aa" });
    await appendFile(join(folder, "train.jsonl"), `${long}\n${long}\n`);
    await appendFile(
      join(folder, "test.jsonl"),
      `${JSON.stringify({ text: "a ".repeat(700), label: "aa" })}\n`,
    );
    const events = await runToEnd(await configIn(folder));
    const counts = events.flatMap((event) => (event.type === "task-learned" ? [event.truncatedTexts] : []));
    expect(counts).toEqual([2, 0, 0]);
    expect(events.at(-1)?.type).toBe("run-finished");
  });
});

test("a loss that leaves the finite numbers: exit 1, the batch named, earlier tasks kept", async () => {
  const folder = await experiment();
  await editYaml(folder, "headLearningRate: 5e-2", "headLearningRate: 1e30, gradientClipping: 0");
  const { exitCode, err } = await accrete("run", join(folder, "tiny.yaml"), "--quiet");
  expect(exitCode).toBe(1);
  expect(err).toMatch(/the loss became \S+ in epoch 1, step \d+ of \d+, on a batch of 4 beginning with "/);
  expect(err).toContain("lower training.learningRate");
  await rm(join(folder, "run"), { recursive: true });
  await expect(configIn(folder).then((config) => runToEnd(config))).rejects.toBeInstanceOf(EngineError);
});

/** Every file below a folder, by path; the experiment's own place, which adapters name, is `F`. */
async function filesIn(folder: string, place: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: Record<string, string> = {};
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files[relative(folder, path)] = (await readFile(path, "latin1")).replaceAll(place, "F");
  }
  return files;
}

const adaptersIn = (folder: string) => filesIn(join(folder, "run", "adapters"), folder);

function diskFull(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
}

/** Fills the disk in the middle of the write number `nth` of a file whose path holds `name`. */
function fillDiskAt(name: string, nth: number) {
  const write = nodeFileSystem.writeNew;
  let seen = 0;
  return vi.spyOn(nodeFileSystem, "writeNew").mockImplementation(async (path, content) => {
    if (!path.includes(name) || ++seen < nth) return write(path, content);
    await write(path, content.slice(0, content.length / 2));
    throw diskFull();
  });
}

describe("full disk while saving", () => {
  let whole: Readonly<Record<string, string>> = {};
  beforeAll(async () => {
    const folder = join(root, "whole");
    await cp(template, folder, { recursive: true });
    await runToEnd(await configIn(folder));
    whole = await adaptersIn(folder);
    expect(Object.keys(whole).length).toBeGreaterThan(6);
  });

  test.each([
    ["the second adapter's weights", "adapter_model.safetensors", 2, 1],
    ["the second adapter's configuration", "adapter_config.json", 2, 1],
    ["the manifest that would name it", "manifest.json", 3, 1],
    ["a matrix", "cil_matrix.csv", 2, 2],
    ["the report", "report.html", 2, 2],
    ["the metrics, last of all", "metrics.json", 1, 3],
    ["the resolved configuration, first of all", "config.resolved.yaml", 1, 0],
  ])(
    "%s: exit 1, what was saved is whole, and --resume goes on to the same bytes",
    async (_, name, nth, kept) => {
      const folder = await experiment();
      const yaml = join(folder, "tiny.yaml");
      const full = fillDiskAt(name, nth);
      const { exitCode, err } = await accrete("run", yaml, "--quiet").finally(() => full.mockRestore());
      expect(exitCode).toBe(1);
      expect(err).toMatch(
        /^accrete: .*cannot be written: the disk is full; what stood there before is unchanged/,
      );
      expect(err).toContain("Free some space, then go on with --resume.");
      const left = await readdir(join(folder, "run"), { recursive: true });
      expect(left.filter((path) => /\.tmp-|\.old-|lock\.json/.test(path))).toEqual([]);
      if (existsSync(join(folder, "run", "adapters"))) expect(whole).toMatchObject(await adaptersIn(folder));
      if (kept > 0) {
        await using predictor = await openRun(join(folder, "run"));
        expect(predictor.tasks).toHaveLength(kept);
        expect(await predictor.predict([{ text: "a test a" }])).toHaveLength(1);
      }
      expect((await accrete("run", yaml, "--quiet", "--resume")).exitCode).toBe(0);
      expect(await adaptersIn(folder)).toEqual(whole);
      expect(existsSync(join(folder, "run", "metrics.json"))).toBe(true);
    },
  );

  test("the library says so with a StoreError", async () => {
    const folder = await experiment();
    const full = fillDiskAt("adapter_model.safetensors", 1);
    await expect(runToEnd(await configIn(folder)).finally(() => full.mockRestore())).rejects.toBeInstanceOf(
      StoreError,
    );
  });
});

test("two runs in one folder: the second is refused with exit 2, with and without --resume; the first ends", async () => {
  const folder = await experiment();
  const config = await configIn(folder);
  const first = runExperiment(config);
  await first.next();
  const before = await filesIn(config.out, folder);
  for (const flags of [[], ["--resume"]]) {
    const { exitCode, out, err } = await accrete("run", join(folder, "tiny.yaml"), "--quiet", ...flags);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
    expect(err).toContain(`${config.out}: is being written by process ${process.pid}`);
    expect(err).toMatch(/choose another folder/);
  }
  expect(await filesIn(config.out, folder)).toEqual(before);
  let last: RunEvent | undefined;
  for await (const event of first) last = event;
  expect(last?.type).toBe("run-finished");
  expect(await readdir(config.out)).not.toContain("lock.json");
});
