import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportTaskFolders } from "../../src/app/original/checkpoints.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { encodeSentenceTasks } from "../../src/prepare/encode.ts";
import { accrete } from "../cli/helpers.ts";
import { labels, writeTinyModel } from "./tinyExperiment.ts";

let folder = "";
const at = (...parts: readonly string[]) => join(folder, ...parts);

function rows(part: string, own: readonly string[], count: number) {
  return own.flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({ text: `${label[0]} ${part} number ${i}`, label })),
  );
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-original-"));
  await writeTinyModel(at("model"));
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
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Path inside the folder → content. */
async function filesBelow(path: string): Promise<Record<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const contents = files.map(async (file) => [file.slice(path.length + 1), await readFile(file, "hex")]);
  return Object.fromEntries(await Promise.all(contents));
}

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

  const exported = (await readdir(at("run"))).filter((name) => name.startsWith("lora_task_"));
  expect(exported.sort()).toEqual(["lora_task_0", "lora_task_1", "lora_task_2"]);
  for (const k of [0, 1, 2]) {
    const tasks = (await readdir(at("run", `lora_task_${k}`))).sort();
    expect(tasks).toEqual(["task-0", "task-1", "task-2"].slice(0, k + 1));
    for (const task of tasks)
      expect(await filesBelow(at("run", `lora_task_${k}`, task))).toEqual(
        await filesBelow(at("run", "adapters", task)),
      );
  }
  const saved = await readPeftFolder(at("run", "lora_task_2", "task-1"));
  expect(saved.labels).toEqual(["cc", "dd"]);

  const before = await filesBelow(at("run", "lora_task_2"));
  await rm(at("run", "lora_task_1"), { recursive: true });
  await exportTaskFolders(at("run"));
  expect((await readdir(at("run", "lora_task_1"))).sort()).toEqual(["task-0", "task-1"]);
  expect(await filesBelow(at("run", "lora_task_2"))).toEqual(before);
});

test("without --cfg the flags are typos of ours", async () => {
  const { exitCode, err } = await accrete("run", "x.yaml", "--training_epochs", "2");
  expect(exitCode).toBe(2);
  expect(err).toContain("unknown option '--training_epochs'");
  expect((await accrete("run", "x.yaml", "--faithful")).err).toContain("--faithful goes with --cfg");
});
