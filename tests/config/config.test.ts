import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultLearningRates } from "../../src/config/fields.ts";
import {
  differingKeys,
  flattenConfig,
  hashConfig,
  loadConfig,
  resolveBackbone,
  resolveConfig,
  toResolvedYaml,
} from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/overrides.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { multipliesBytes } from "../../src/io/processor.ts";
import { resolveModelSettings } from "../../src/model/settings/settings.ts";
import { resolveTraining } from "../../src/model/settings/structure.ts";
import { issuesOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { configAt, smallest, writeConfig } from "../support/runs.ts";

/** Word for word what the README promises to run. */
const promised = `
backbone: ../shared/models/minilm-l6
method: { adapter: lora, rank: 4, alpha: 8, dropout: 0.1 }
head: linear
stream:
  train: data/train.jsonl      # {"text": …, "label": …} per line; paths relative to this file
  test: data/test.jsonl
  tasks: 8                     # equal class counts
  classOrder: shuffled
training: { epochs: 3, batchSize: 16, learningRate: 5e-4, headLearningRate: 5e-3 }
seed: 1
out: runs/example
`;

describe("loadConfig", () => {
  test("resolves the promised configuration, with defaults and paths from the file's folder", async () => {
    const path = await writeConfig(promised);
    const base = dirname(path);
    const { config } = await loadConfig(path);
    expect(config).toMatchObject({
      backbone: resolve(base, "../shared/models/minilm-l6"),
      method: { adapter: "lora", rank: 4, alpha: 8, dropout: 0.1, bias: "none", rslora: false },
      head: { kind: "linear" },
      level: "sentence",
      feature: {},
      stream: {
        train: join(base, "data/train.jsonl"),
        test: join(base, "data/test.jsonl"),
        tasks: 8,
        classOrder: "shuffled",
        allowOverlap: false,
      },
      precision: "fp32",
      seed: 1,
      out: join(base, "runs/example"),
    });
    expect(config.training).toEqual({
      epochs: 3,
      batchSize: 16,
      learningRate: 5e-4,
      headLearningRate: 5e-3,
      weightDecay: 0.01,
      betas: [0.9, 0.999],
      epsilon: 1e-8,
      schedule: "linear",
      warmup: 0.1,
      gradientClipping: 1,
      maxLength: 128,
      backboneDropout: false,
    });
  });

  test("the command line beats the file, and its paths start from the working directory", async () => {
    const path = await writeConfig(promised);
    const { config, provenance, overrides } = await loadConfig(path, [
      parseOverride("training.epochs=9"),
      parseOverride("stream.train=other.jsonl"),
      parseOverride("backbone=./elsewhere"),
      { key: "out", value: "there", source: "--out" },
    ]);
    expect(config.training.epochs).toBe(9);
    expect(config.stream.train).toBe(resolve("other.jsonl"));
    expect(config.backbone).toBe(resolve("elsewhere"));
    expect(config.out).toBe(resolve("there"));
    expect(overrides.map((each) => each.replaced)).toEqual([
      3,
      "data/train.jsonl",
      "../shared/models/minilm-l6",
      "runs/example",
    ]);
    const sources = ["training.epochs", "out", "training.batchSize", "training.warmup", "head.kind"].map(
      (key) => provenance.get(key),
    );
    expect(sources).toEqual(["--set", "--out", "file", "default", "file"]);
  });

  test("an adapter's kind decides the learning rate that a file leaves open, and no other", async () => {
    const open = promised.replace("learningRate: 5e-4, ", "");
    const rateOf = async (yaml: string, ...sets: string[]) => {
      const { config, provenance } = await loadConfig(
        await writeConfig(yaml),
        sets.map((set) => parseOverride(set)),
      );
      return [config.training.learningRate, provenance.get("training.learningRate")];
    };
    const prompt = "method={ adapter: prompt-tuning }";
    expect(defaultLearningRates["prompt-tuning"]).toBeGreaterThan(defaultLearningRates.lora);
    expect(await rateOf(open)).toEqual([defaultLearningRates.lora, "default"]);
    expect(await rateOf(open, prompt)).toEqual([defaultLearningRates["prompt-tuning"], "default"]);
    expect(await rateOf(promised, prompt)).toEqual([5e-4, "file"]);
    expect(await rateOf(open, prompt, "training.learningRate=0")).toEqual([0, "--set"]);
  });

  test("a learner's settings may leave it open, too", () => {
    const rateOf = (training: { readonly epochs: number; readonly learningRate?: number }) => {
      const config = { backbone: "./model", method: { adapter: "prompt-tuning" as const }, training };
      return resolveTraining(resolveModelSettings(config, "the settings")).learningRate;
    };
    expect(rateOf({ epochs: 1 })).toBe(defaultLearningRates["prompt-tuning"]);
    expect(rateOf({ epochs: 1, learningRate: 1 })).toBe(1);
  });

  test("is read-only all the way down", async () => {
    const { config } = await loadConfig(await writeConfig(promised));
    for (const part of [config, config.method, config.stream, config.training, config.training.betas]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  test("the resolved YAML gives the same configuration wherever it lies", async () => {
    const changes = [
      "head={ kind: cosine, scale: 2.5 }",
      "method.targetModules=[query, key]",
      "training.earlyStopping.patience=2",
      "feature.pooling=mean",
      "stream.classOrder=[b, a, c, d]",
      "threads=2",
    ].map((text) => parseOverride(text));
    const { config } = await loadConfig(await writeConfig(promised), changes);
    const copy = await writeConfig(toResolvedYaml(config));
    expect((await loadConfig(copy)).config).toEqual(config);
  });
});

describe("prompt tuning", () => {
  test("has settings of its own, with defaults", () => {
    const methodOf = (method: unknown) => configAt("/", { method }).method;
    const prompt = { adapter: "prompt-tuning" };
    expect(methodOf(prompt)).toEqual({ ...prompt, virtualTokens: 10, init: "auto" });
    const own = { ...prompt, virtualTokens: 3, init: { text: "Sort this:" } };
    expect(methodOf(own)).toEqual(own);
    expect(methodOf({})).toMatchObject({ adapter: "lora", rank: 4 });
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    [
      "LoRA's settings beside it",
      { rank: 4 },
      "method.rank",
      "nothing here: rank belongs to another kind of method",
    ],
    ["a typo", { virtualToken: 4 }, "method.virtualToken", "the key virtualTokens (did you mean it?)"],
    ["no virtual tokens", { virtualTokens: 0 }, "method.virtualTokens", "at least 1"],
    ["an unknown start", { init: "zeros" }, "method.init", "one of auto, random, vocab, or a mapping"],
    ["an unknown adapter", { adapter: "prefix" }, "method.adapter", "one of lora, prompt-tuning"],
  ])("%s is named", async (_, change, path, expected) => {
    const method = { adapter: "prompt-tuning", ...change };
    expect(await issuesOf(() => configAt("/", { method }))).toMatchObject([{ path, expected }]);
  });

  test("its settings beside LoRA are named", async () => {
    const issues = await issuesOf(() => configAt("/", { method: { virtualTokens: 4 } }));
    expect(issues).toMatchObject([
      {
        path: "method.virtualTokens",
        expected: "nothing here: virtualTokens belongs to another kind of method",
      },
    ]);
  });
});

describe("what is wrong is named", () => {
  test("an unknown key, with the nearest one", async () => {
    const issues = await issuesOf(() =>
      resolveConfig({ ...smallest, trainnig: {}, training: { lerningRate: 1 }, method: { ranks: 2 } }, "/"),
    );
    expect(issues).toEqual([
      {
        path: "method.ranks",
        expected: "the key rank (did you mean it?)",
        received: "the unknown key ranks",
      },
      {
        path: "training.lerningRate",
        expected: "the key learningRate (did you mean it?)",
        received: "the unknown key lerningRate",
      },
      {
        path: "trainnig",
        expected: "the key training (did you mean it?)",
        received: "the unknown key trainnig",
      },
    ]);
  });

  test("an unknown key of the stream and of the head's mapping", async () => {
    const stream = await issuesOf(() =>
      resolveConfig({ ...smallest, stream: { ...smallest.stream, clasOrder: "file" } }, "/"),
    );
    expect(stream).toEqual([
      {
        path: "stream.clasOrder",
        expected: "the key classOrder (did you mean it?)",
        received: "the unknown key clasOrder",
      },
    ]);
    const head = await issuesOf(() => configAt("/", { head: { kind: "cosine", scael: 1 } }));
    expect(head).toEqual([
      { path: "head.scael", expected: "the key scale (did you mean it?)", received: "the unknown key scael" },
    ]);
  });

  test("every problem at once, in words", async () => {
    const issues = await issuesOf(() =>
      resolveConfig(
        {
          ...smallest,
          backbone: undefined,
          method: { rank: 0, alpha: "8", bias: "some", dropout: 1 },
          head: "liner",
          training: { epochs: 1.5, schedule: null, betas: [0.9] },
          seed: -1,
        },
        "/",
      ),
    );
    expect(issues.map(({ path, expected, received }) => `${path}: ${expected} / ${received}`)).toEqual([
      "backbone: a text / nothing",
      "method.rank: at least 1 / 0",
      'method.alpha: a number / "8"',
      "method.dropout: less than 1 / 1",
      'method.bias: one of none, all, lora_only / "some"',
      'head: one of linear, cosine, own, none, or a mapping / "liner"',
      "training.epochs: a whole number / 1.5",
      "training.betas: a list of at least 2 / a list of 1",
      "training.schedule: one of linear, cosine, constant / null",
      "seed: at least 0 / -1",
    ]);
  });

  test("a precision that there is none of", async () => {
    const issues = await issuesOf(() => configAt("/", { precision: "bf16" }));
    expect(issues.map((issue) => issue.path)).toEqual(["precision"]);
    expect(issues[0]?.expected).toContain("int8");
  });

  test("a precision is settled when a configuration is read", () => {
    expect(configAt("/", { precision: "auto" }).precision).toBe(multipliesBytes() ? "int8" : "fp32");
  });

  test.each([
    ["a prompt around words", { level: "word", prompt: "qa" }, "prompt"],
    ["words without a head", { head: "none", level: "word" }, "head"],
    ["every bias beside adapters in the top layers", { method: { layers: 2, bias: "all" } }, "method.layers"],
    ["a feature without a head", { head: "none", feature: { pooling: "mean" } }, "feature.pooling"],
    ["a prompt without a place for the text", { head: "none", prompt: "Say it:" }, "prompt"],
  ])("%s", async (_, changes, path) => {
    const issues = await issuesOf(() => configAt("/", changes));
    expect(issues.map((issue) => issue.path)).toContain(path);
  });

  test("an answer in words takes a prompt by name, or one of its own", () => {
    expect(configAt("/", { head: "none", prompt: "qa" })).toMatchObject({
      head: { kind: "none" },
      prompt: "qa",
    });
    expect(configAt("/", { head: "none", prompt: "{text} is" }).prompt).toBe("{text} is");
    expect(configAt("/", { head: "none" }).prompt).toBeUndefined();
  });

  test("a rule between settings", async () => {
    const issues = await issuesOf(() =>
      configAt("/", { stream: { ...smallest.stream, domains: { a: ["x"] } } }),
    );
    expect(issues).toEqual([
      {
        path: "stream.tasks",
        expected: "tasks, taskList and domains exclude each other",
        received: "2",
        rule: true,
      },
    ]);
  });

  test("a key that stands twice, with its line", async () => {
    const path = await writeConfig(`${promised}seed: 2\n`);
    const issues = await issuesOf(() => loadConfig(path));
    expect(issues).toEqual([
      { path: "line 13", expected: "valid YAML", received: "Map keys must be unique" },
    ]);
  });

  test.each([
    ["broken YAML", "a: [1"],
    ["a list", "- a"],
    ["nothing", ""],
    ["an unknown tag", "seed: !thing 3"],
  ])("a file of %s", async (_, text) => {
    const issues = await issuesOf(async () => loadConfig(await writeConfig(text)));
    expect(issues.length).toBeGreaterThan(0);
  });

  test("a file that is missing, a folder, or no UTF-8", async () => {
    const folder = await temporaryFolder();
    const latin = join(folder, "latin.yaml");
    await writeFile(latin, Buffer.from([0x61, 0x3a, 0x20, 0xe9]));
    await expect(loadConfig(join(folder, "missing.yaml"))).rejects.toThrow(/missing\.yaml: cannot be read/);
    await expect(loadConfig(folder)).rejects.toThrow(ConfigError);
    await expect(loadConfig(latin)).rejects.toThrow(/not UTF-8/);
  });
});

describe("resolveBackbone", () => {
  test.each([
    ["../m", "/a/m"],
    ["./m", "/a/b/m"],
    ["/m", "/m"],
    ["~/m", join(homedir(), "m")],
    ["org/name", "org/name"],
    ["bert-base-uncased", "bert-base-uncased"],
    ["one/two/three", "/a/b/one/two/three"],
  ])("%s → %s", (source, expected) => {
    expect(resolveBackbone(source, "/a/b")).toBe(expected);
  });

  test("a folder that exists wins over a hub id of the same name", () => {
    expect(resolveBackbone("src/config", packageRoot)).toBe(join(packageRoot, "src/config"));
  });
});

test("out does not make configurations differ, everything else does", () => {
  const config = configAt("/a");
  const moved = configAt("/a", { out: "/elsewhere" });
  const other = configAt("/a", { seed: 2, head: "cosine", training: { epochs: 4 } });
  expect(differingKeys(config, moved)).toEqual([]);
  expect(hashConfig(moved)).toBe(hashConfig(config));
  expect(differingKeys(config, other)).toEqual(["head.kind", "head.scale", "seed", "training.epochs"]);
  expect(hashConfig(other)).not.toBe(hashConfig(config));
  expect(flattenConfig(config)).toMatchObject({ "method.rank": 4, "training.betas": [0.9, 0.999] });
});

const shipped = ["configs", "demo"].flatMap((folder) =>
  readdirSync(join(packageRoot, folder))
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => `${folder}/${name}`),
);

test.each(shipped)("%s is valid", async (path) => {
  const { config } = await loadConfig(join(packageRoot, path));
  expect(config.training.learningRate).toBeGreaterThan(0);
});

test("the expected configurations ship", () => {
  const expected = ["banking77", "clinc150", "example", "fewrel", "generative"].map(
    (name) => `configs/${name}.yaml`,
  );
  expect(shipped).toEqual(expect.arrayContaining([...expected, "demo/demo.yaml"]));
});
