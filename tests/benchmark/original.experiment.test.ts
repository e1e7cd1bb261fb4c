import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { exportTaskFolders } from "../../src/benchmark/original/checkpoints.ts";
import { encodeSentenceTasks } from "../../src/benchmark/prepare/encode.ts";
import { readDatasetName } from "../../src/data/continual.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { accrete } from "../support/cli.ts";
import { bytesBelow, folderOfTestFile } from "../support/folders.ts";
import { writeTinyModel } from "../support/tinyModels.ts";
import { conll, labels } from "../support/tinyStreams.ts";

const folder = folderOfTestFile("original");
const at = (...parts: readonly string[]) => join(folder, ...parts);

function rows(part: string, own: readonly string[], count: number) {
  return own.flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({ text: `${label[0]} ${part} number ${i}`, label })),
  );
}

beforeAll(async () => {
  await writeTinyModel(at("model"));
  await mkdir(at("model", "1_Pooling"));
  const pooling = { pooling_mode_mean_tokens: true };
  await writeFile(at("model", "1_Pooling", "config.json"), JSON.stringify(pooling));
  const tasks = [0, 2, 4].map((first) => {
    const own = labels.slice(first, first + 2);
    return {
      labels: own,
      train: rows("train", own, 8),
      validation: rows("dev", own, 2),
      test: rows("test", own, 2),
    };
  });
  for (const [name, content] of encodeSentenceTasks(tasks)) await writeFile(at(name), content);
  await writeFile(
    at("LoRA.yaml"),
    `method: PEFT\nPEFT_type: LoRA\nprompt_type: none\nbackbone_extract_token: cls_token\ndataset: ${folder}\nlr: 1e-2\n`,
  );
});

test("a run with the original's flags, and its folders of adapters", async () => {
  const { exitCode, err } = await accrete(
    ...[
      "run",
      "--cfg",
      at("LoRA.yaml"),
      "--backbone",
      at("model"),
      "--classifier",
      "Linear",
      "--out",
      at("run"),
    ],
    ...["--training_epochs", "2", "--max_seq_length", "16", "--save_ckpt", "True", "--batch_size", "8"],
    ...["--set", "threads=1"],
  );
  expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
  expect(err).toContain("\n--training_epochs 2\n");
  expect(err).toContain("differs from the original: Sub_PEFT_type is absent");
  expect(err).toMatch(/feature\.pooling is cls, but .*model was made to pool by mean/);

  const exported = (await readdir(at("run"))).filter((name) => name.startsWith("lora_task_"));
  expect(exported.sort()).toEqual(["lora_task_0", "lora_task_1", "lora_task_2"]);
  for (const k of [0, 1, 2]) {
    const tasks = (await readdir(at("run", `lora_task_${k}`))).sort();
    expect(tasks).toEqual(["task-0", "task-1", "task-2"].slice(0, k + 1));
    for (const task of tasks)
      expect(await bytesBelow(at("run", `lora_task_${k}`, task))).toEqual(
        await bytesBelow(at("run", "adapters", task)),
      );
  }
  const saved = await readPeftFolder(at("run", "lora_task_2", "task-1"));
  expect(saved.labels).toEqual(["cc", "dd"]);

  const before = await bytesBelow(at("run", "lora_task_2"));
  await rm(at("run", "lora_task_1"), { recursive: true });
  await exportTaskFolders(at("run"));
  expect((await readdir(at("run", "lora_task_1"))).sort()).toEqual(["task-0", "task-1"]);
  expect(await bytesBelow(at("run", "lora_task_2"))).toEqual(before);
});

test("words: a prepared set and the original's flags", async () => {
  const raw = at("raw");
  await mkdir(raw);
  await writeFile(join(raw, "train.txt"), conll(0, 40));
  await writeFile(join(raw, "dev.txt"), conll(1000, 8, " "));
  await writeFile(join(raw, "test.txt"), conll(2000, 12));
  const data = at("prepared");
  const division = ["--base", "2", "--increment", "2"];
  const made = await accrete("prepare", "conll2003", "--from", raw, "--to", data, ...division);
  expect({ exitCode: made.exitCode, err: made.exitCode === 0 ? "" : made.err }).toEqual({
    exitCode: 0,
    err: "",
  });
  expect(await readDatasetName(data)).toBe("conll2003");
  expect(made.out).toMatch(/task-1\s+2\s+20\s+8\s+12\n/);
  const { exitCode, out, err } = await accrete(
    ...["run", "--cfg", "None", "--method", "PEFT", "--PEFT_type", "LoRA", "--dataset", data],
    ...["--backbone", at("model"), "--classifier", "Linear", "--lr", "1e-2", "--training_epochs", "1"],
    ...["--max_seq_length", "16", "--set", "threads=1", "--out", at("words"), "--json"],
  );
  expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
  expect(JSON.parse(out)).toMatchObject({
    header: { config: { level: "word", outside: "first" }, tasks: [{ name: "task-0" }, { name: "task-1" }] },
  });
});

test("without --cfg the flags are typos of ours", async () => {
  const { exitCode, err } = await accrete("run", "x.yaml", "--training_epochs", "2");
  expect(exitCode).toBe(2);
  expect(err).toContain("unknown option '--training_epochs'");
  expect((await accrete("run", "x.yaml", "--faithful")).err).toContain("--faithful goes with --cfg");
});
