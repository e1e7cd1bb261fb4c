/** What cannot be exported is refused with the reason, and nothing is written. */
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, StoreError } from "../../src/core/errors.ts";
import { exportStore } from "../../src/export/exportStore.ts";
import { registerRouter } from "../../src/extend.ts";
import { accrete } from "../support/cli.ts";
import { failureOf, refusalOf } from "../support/errors.ts";
import { configAt, runToEnd } from "../support/runs.ts";
import { statisticsOnly, workshop } from "../support/stores.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";
import { conll, jsonl, texts } from "../support/tinyStreams.ts";

/** A store with a task that has an adapter, and one of statistics alone. */
async function furnished(changes: object = {}) {
  const { at, open, folder } = await workshop();
  {
    await using store = await open("store", { training: { epochs: 1 }, ...changes });
    await store.learn({ name: "adapted", train: texts(["aa", "bb"]) });
    await store.learn({ name: "counted", train: texts(["cc", "dd"]) }, statisticsOnly);
  }
  return { at, folder, store: at("store"), out: at("out") };
}

/** A store on a decoder. */
async function onDecoder(changes: object) {
  const { at, open } = await workshop();
  // Llama has no biases.
  await writeTinyFamily("gpt2", at("decoder"));
  {
    await using store = await open("store", { backbone: at("decoder"), training: { epochs: 1 }, ...changes });
    await store.learn({ name: "adapted", train: texts(["aa", "bb"]) });
  }
  return { store: at("store"), out: at("out") };
}

describe("before anything is opened", () => {
  test("a kind that there is not, with the nearest", async () => {
    const { folder } = await workshop();
    // @ts-expect-error: what a caller without types may give
    const refused = exportStore(folder, { to: "onx", out: join(folder, "out") });
    expect(await refusalOf(refused, ConfigError)).toBe(
      'export: there is no kind "onx"; did you mean "onnx"? Kinds: onnx, merged, peft, gguf-lora.',
    );
  });

  test("a kind that there is not, on the command line", async () => {
    const { exitCode, err } = await accrete("export", "store", "--to", "tflite");
    expect(exitCode).toBe(2);
    expect(err).toContain("Allowed choices are onnx, merged, peft, gguf-lora");
  });

  test("a folder that holds something", async () => {
    const { store, out } = await furnished();
    await mkdir(out);
    await writeFile(join(out, "mine.txt"), "mine");
    const refused = await failureOf(exportStore(store, { to: "peft", out }), StoreError);
    expect(refused).toMatchObject({ code: "NAME_TAKEN", exitCode: 2, hint: "Choose another folder." });
    expect(await readdir(out)).toEqual(["mine.txt"]);
  });

  test("a folder that is no store", async () => {
    const { folder, at } = await workshop();
    expect(await refusalOf(exportStore(folder, { to: "peft", out: at("out") }))).toContain("manifest.json");
  });
});

describe("tasks", () => {
  test("that are not there, or have no adapter", async () => {
    const { store, out } = await furnished();
    const of = (to: "merged" | "peft", task: string) => refusalOf(exportStore(store, { to, out, task }));
    expect(await of("peft", "adaptd")).toContain(
      'no task is called "adaptd"; did you mean "adapted"? Tasks: adapted, counted.',
    );
    for (const to of ["merged", "peft"] as const)
      expect(await of(to, "counted")).toContain(
        'task "counted" has no adapter: it was learned as statistics alone',
      );
    expect(existsSync(out)).toBe(false);
  });

  test("of which none has an adapter", async () => {
    const { at, open } = await workshop();
    await using store = await open("store");
    await store.learnClass("aa", ["a", "b"]);
    const refused = exportStore(at("store"), { to: "merged", out: at("out") });
    expect(await refusalOf(refused)).toContain(
      "no task has an adapter: all were learned as statistics alone",
    );
  });

  test("of which several are asked to be merged into one", async () => {
    const { at, open } = await workshop();
    await using store = await open("store", { training: { epochs: 1 } });
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await store.learn({ name: "two", train: texts(["cc", "dd"]) });
    expect(await refusalOf(exportStore(at("store"), { to: "merged", out: at("out") }))).toMatch(
      /has several tasks, and one is exported at a time Name it: --task one, --task two\.$/,
    );
  });

  test("with a tuned prompt", async () => {
    const { store, out } = await furnished({ method: { adapter: "prompt-tuning", virtualTokens: 3 } });
    expect(await refusalOf(exportStore(store, { to: "merged", out, task: "adapted" }))).toContain(
      'task "adapted" has a tuned prompt, no LoRA: there is nothing to merge into the weights',
    );
  });
});

describe("onnx", () => {
  test("not of one task", async () => {
    const { store, out } = await furnished();
    expect(await refusalOf(exportStore(store, { to: "onnx", out, task: "adapted" }))).toContain(
      "--task: --to onnx exports all classes at once",
    );
  });

  test("not of entities", async () => {
    const { at, open, folder } = await workshop();
    await writeFile(join(folder, "words.conll"), conll(0, 24));
    {
      await using _ = await open("store", { level: "word", training: { epochs: 1 } });
    }
    const learned = await accrete("learn", at("store"), "--task", "words", join(folder, "words.conll"));
    expect(learned.exitCode).toBe(0);
    expect(await refusalOf(exportStore(at("store"), { to: "onnx", out: at("out") }))).toContain(
      "finds entities, and --to onnx exports what labels whole texts",
    );
  });

  test("not of decoders, with a head or without", async () => {
    const headed = await onDecoder({});
    expect(await refusalOf(exportStore(headed.store, { to: "onnx", out: headed.out }))).toContain(
      "its backbone is a decoder",
    );
    const speaking = await onDecoder({ head: "none" });
    expect(await refusalOf(exportStore(speaking.store, { to: "onnx", out: speaking.out }))).toContain(
      "answers in words",
    );
  });

  test("not of a run that learned no router, or one whose network chooses", async () => {
    const { at, folder } = await workshop();
    await writeFile(at("train.jsonl"), jsonl(texts(["aa", "bb", "cc", "dd"])));
    await writeFile(at("test.jsonl"), jsonl(texts(["aa", "bb", "cc", "dd"], "test", 2)));
    const settings = { training: { epochs: 1 }, threads: 1 };
    await runToEnd(configAt(folder, settings));
    expect(await refusalOf(exportStore(at("run"), { to: "onnx", out: at("out") }))).toContain(
      "nothing compares the classes",
    );
    await runToEnd(configAt(folder, { ...settings, router: { kind: "newlora-frozen" }, out: "network" }));
    expect(await refusalOf(exportStore(at("network"), { to: "onnx", out: at("out") }))).toContain(
      "a selection network chooses the task, which has no ONNX form",
    );
  });

  test("not of a router from an extension", async () => {
    registerRouter("exported-nowhere", {
      fit: ({ labels: { length } }) => ({ posterior: ({ rows }) => new Float64Array(rows * length) }),
    });
    const { at, open } = await workshop();
    await using store = await open("store", { router: { kind: "exported-nowhere" } });
    await store.learn({ name: "a", train: texts(["aa", "bb"]) }, statisticsOnly);
    expect(await refusalOf(exportStore(at("store"), { to: "onnx", out: at("out") }))).toMatch(
      /router exported-nowhere(:| comes).* from an extension, so it has no ONNX form Choose another kind/,
    );
  });

  test("not before a class was learned", async () => {
    const { at, open } = await workshop();
    await using _ = await open("store");
    expect(await refusalOf(exportStore(at("store"), { to: "onnx", out: at("out") }))).toContain("no class");
  });
});

describe("gguf-lora", () => {
  test("not of encoders", async () => {
    const { store, out } = await furnished();
    expect(await refusalOf(exportStore(store, { to: "gguf-lora", out }))).toContain(
      "its backbone is an encoder (bert), and llama.cpp adapts decoders alone",
    );
  });

  test.each([
    ["a tuned prompt", { adapter: "prompt-tuning", virtualTokens: 3 }, "has a tuned prompt"],
    ["trained biases", { adapter: "lora", bias: "lora_only" }, "has trained biases"],
  ])("not of %s", async (_, method, why) => {
    const { store, out } = await onDecoder({ method, head: "none" });
    expect(await refusalOf(exportStore(store, { to: "gguf-lora", out }))).toContain(
      `task "adapted" ${why}, which an adapter of llama.cpp cannot hold --to peft`,
    );
  });
});
