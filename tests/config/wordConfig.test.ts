import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig, resolveConfig } from "../../src/config/load.ts";
import { resolveModelSettings } from "../../src/model/settings/settings.ts";
import { issuesOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { configAt, smallest } from "../support/runs.ts";

const words = {
  backbone: "./model",
  level: "word",
  stream: { train: "train.conll", test: "test.conll", base: 2 },
  out: "run",
};

const pathsOf = async (changes: Readonly<Record<string, unknown>>) =>
  (await issuesOf(() => resolveConfig({ ...words, ...changes }, "/data"))).map(({ path }) => path);

describe("a configuration of words", () => {
  test.each(["{ adapter: prompt-tuning, virtualTokens: 10, init: auto }", "{ adapter: lora, rank: 4 }"])(
    "runs as it is written: %s",
    async (method) => {
      const folder = await temporaryFolder();
      await mkdir(join(folder, "data"));
      const path = join(folder, "ner.yaml");
      await writeFile(
        path,
        `backbone: ../shared/models/minilm-l6
method: ${method}
head: linear
level: word
stream: { train: data/train.conll, test: data/test.conll, base: 2, increment: 2, typeOrder: frequency }
training: { epochs: 3, batchSize: 16, learningRate: 5e-4, headLearningRate: 5e-3 }
seed: 1
out: runs/ner
`,
      );
      const { config } = await loadConfig(path);
      expect(config).toMatchObject({
        level: "word",
        outside: "own",
        stream: {
          train: join(folder, "data/train.conll"),
          test: join(folder, "data/test.conll"),
          base: 2,
          increment: 2,
          typeOrder: "frequency",
        },
      });
    },
  );

  test("has a second pass of its own: chosen on validation sentences unless that is said otherwise", async () => {
    const chosen = resolveConfig({ ...words, router: "lda" }, "/data").router;
    expect(chosen).toMatchObject({ kind: "lda", secondPass: "auto" });
    for (const secondPass of ["auto", "always", "off"] as const)
      expect(resolveConfig({ ...words, router: { secondPass } }, "/data").router).toMatchObject({
        secondPass,
      });
    expect(await pathsOf({ router: { secondPass: "unsure" } })).toEqual(["router.secondPass"]);
  });

  test("marks entities of earlier types in a run that routes, and in a store only where that is said", async () => {
    const { stream: _, out: _out, ...model } = words;
    const inRun = (router?: unknown) =>
      resolveConfig({ ...words, ...(router !== undefined && { router }) }, "/data").router;
    expect(inRun()).toMatchObject({ kind: "auto", unlabelled: "mark" });
    expect(inRun("nearest-mean")).toMatchObject({ kind: "nearest-mean", unlabelled: "mark" });
    // To change one setting changes no other.
    expect(inRun({ unlabelled: "mark" })).toEqual(inRun());
    expect(inRun({ unlabelled: "outside" })).toMatchObject({ kind: "auto", unlabelled: "outside" });
    expect(inRun("none")).toBe("none");
    const sentences = {
      backbone: "./model",
      stream: { train: "a.csv", test: "b.csv", tasks: 2 },
      out: "run",
    };
    expect(resolveConfig({ ...sentences, router: "lda" }, "/data").router).not.toHaveProperty("unlabelled");
    expect(
      resolveModelSettings({ ...model, level: "word", router: "lda" }, "a store").router,
    ).not.toHaveProperty("unlabelled");
  });

  test.each(["path", "recipe", "tasks", "taskList", "domains", "classOrder", "format", "outOfScope"])(
    "has no place for stream.%s",
    async (key) => {
      const values: Readonly<Record<string, unknown>> = {
        path: "/data",
        recipe: "clinc150",
        tasks: 2,
        taskList: [{ name: "a", labels: ["x"] }],
        domains: { a: ["x"] },
        classOrder: "shuffled",
        format: "csv",
        outOfScope: "oos.jsonl",
      };
      const paths = await pathsOf({ stream: { ...words.stream, [key]: values[key] } });
      expect(paths).toContain(`stream.${key}`);
    },
  );

  test("needs base and test, and makes no sentence vectors: all said at once", async () => {
    const stream = { train: "train.conll" };
    expect((await pathsOf({ stream, feature: { pooling: "mean" } })).sort()).toEqual([
      "feature.pooling",
      "stream.base",
      "stream.test",
    ]);
  });

  test("takes whole numbers of types only", async () => {
    const paths = await pathsOf({ stream: { ...words.stream, base: 0, increment: 1.5, typeOrder: "size" } });
    expect(paths).toEqual(["stream.base", "stream.increment", "stream.typeOrder"]);
  });
});

describe("a configuration of sentences", () => {
  test.each([
    ["base", 2],
    ["increment", 2],
    ["typeOrder", "frequency"],
    ["sampling", "all"],
  ])("has no place for stream.%s", async (key, value) => {
    const issues = await issuesOf(() => configAt("/", { stream: { ...smallest.stream, [key]: value } }));
    expect(issues).toMatchObject([
      { path: `stream.${key}`, expected: expect.stringContaining("level: word") },
    ]);
  });

  test("has no O to compare with", async () => {
    expect(await issuesOf(() => configAt("/", { outside: "first" }))).toMatchObject([
      { path: "outside", expected: expect.stringContaining("level: word") },
    ]);
  });

  test("stays as it was, level and all", () => {
    expect(Object.keys(configAt("/").stream)).toEqual([
      "train",
      "test",
      "tasks",
      "validationFraction",
      "allowOverlap",
    ]);
  });
});
