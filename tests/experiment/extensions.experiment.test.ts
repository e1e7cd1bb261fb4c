import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { readPredictions } from "../../src/experiment/predictions.ts";
import { registerReader, registerRouter } from "../../src/extend.ts";
import { openStore } from "../../src/store/store.ts";
import { routerPlace } from "../../src/workspace/routers.ts";
import { refusalOf } from "../support/errors.ts";
import { finishOf, routedMetrics, sentenceMetrics, TinyRuns } from "../support/runs.ts";
import { labels, texts, writeTinyExperiment } from "../support/tinyStreams.ts";

const example = (name: string) => join(packageRoot, "examples/extensions", `${name}.mjs`);
const runs = new TinyRuns({ "training.epochs": 1 });

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
});

describe("a router of one's own", () => {
  const settings = { extensions: [example("router")], "router.kind": "cosine-means" };

  test("routes a run, and is read again from its file", async () => {
    const events = await runs.run("router", settings);
    const { router, averageAccuracy } = routedMetrics(finishOf(events));
    expect(router?.kind).toBe("cosine-means");
    expect(router?.heldOutAccuracy).toBeGreaterThan(1 / labels.length);
    expect(averageAccuracy).toBeGreaterThan(1 / labels.length);
    expect(existsSync(runs.at("router", routerPlace(1, "consolidated"), "router.safetensors"))).toBe(true);
    const resolved: unknown = parse(await readFile(runs.at("router", "config.resolved.yaml"), "utf8"));
    expect(resolved).toMatchObject({ extensions: [example("router")], router: { kind: "cosine-means" } });

    const before = await readFile(runs.at("router", routerPlace(1, "consolidated"), "router.safetensors"));
    await using store = await openStore(runs.at("router"));
    const test = texts(labels, "test", 6);
    const answers = await store.predict(test);
    const recorded = (await readPredictions(runs.at("router"))).filter(
      ({ protocol, learned }) => protocol === "routed" && learned === 3,
    );
    expect(answers.map(({ label }) => label)).toEqual(
      recorded.map((line) => ("label" in line ? line.label : undefined)),
    );
    expect(await readFile(runs.at("router", routerPlace(1, "consolidated"), "router.safetensors"))).toEqual(
      before,
    );
  });

  test("is fitted anew where it saves nothing", async () => {
    let fits = 0;
    registerRouter("first-class", {
      fit: ({ labels: { length } }) => {
        fits++;
        return {
          posterior: ({ rows }) =>
            Float64Array.from({ length: rows * length }, (_, i) => (i % length === 0 ? 0 : -9)),
        };
      },
    });
    const folder = runs.at("first-class");
    const create = { backbone: runs.at("model"), router: "first-class", training: { epochs: 1 }, threads: 1 };
    const ask = async () => {
      await using store = await openStore(folder);
      return (await store.predict(["b"])).map(({ label }) => label);
    };
    {
      await using store = await openStore(folder, { create });
      await store.learn({ name: "one", train: texts(labels.slice(0, 2)) }, { statisticsOnly: true });
    }
    const once = fits;
    expect(await ask()).toEqual(["aa"]);
    expect(await ask()).toEqual(["aa"]);
    expect(fits).toBe(3 * once);
    expect(existsSync(join(folder, routerPlace(2, "consolidated"), "router.safetensors"))).toBe(false);
  });

  test("is told what is wrong with its answers", async () => {
    registerRouter("short", { fit: () => ({ posterior: () => [0] }) });
    const refusal = await refusalOf(runs.run("short", { "router.kind": "short" }));
    expect(refusal).toMatch(/router short: posterior gave 1 values; expected \d+ × 2/);
  });
});

test("a metric of one's own is in metrics.json, for every protocol", async () => {
  const events = await runs.run("metric", { extensions: [example("metric")], router: "lda" });
  const { metrics } = finishOf(events);
  expect(Object.keys(metrics.extra ?? {})).toEqual(["worst-class"]);
  const { cil, til, routed } = metrics.extra?.["worst-class"] ?? {};
  expect(cil).toBeLessThanOrEqual(sentenceMetrics({ metrics }).cil.sampleAccuracy);
  expect(til).toBeLessThanOrEqual(sentenceMetrics({ metrics }).til.sampleAccuracy);
  expect(routed).toBeLessThanOrEqual(routedMetrics({ metrics }).sampleAccuracy);
  const written: unknown = JSON.parse(await readFile(runs.at("metric", "metrics.json"), "utf8"));
  expect(written).toMatchObject({ extra: { "worst-class": { cil, til, routed } } });
});

test("a reader of one's own gives the stream that the same rows give as JSON", async () => {
  for (const split of ["train", "validation", "test"] as const) {
    const rows = (await readFile(runs.at(`${split}.jsonl`), "utf8")).trim().split("\n");
    const lines = rows.map((row) => {
      const { label, text } = JSON.parse(row) as { label: string; text: string };
      return `${label}\t${text}\n`;
    });
    await writeFile(runs.at(`${split}.tsv`), lines.join(""));
  }
  const stream = {
    train: "train.tsv",
    validation: "validation.tsv",
    test: "test.tsv",
    tasks: 3,
    format: "tabs",
  };
  const yaml = { ...parse(await readFile(runs.at("tiny.yaml"), "utf8")), stream, out: "tabs" };
  await writeFile(runs.at("tabs.yaml"), JSON.stringify({ ...yaml, extensions: [example("reader")] }));
  const [plain, tabs] = [runs.at("plain"), runs.at("tabs")];
  await runs.run("plain");
  await runs.furnish(async () => runs.at("tabs.yaml"));
  await runs.run("tabs");
  const matrix = (out: string) => readFile(join(out, "cil_matrix.csv"), "utf8");
  expect(await matrix(tabs)).toBe(await matrix(plain));
  expect(await runs.adapterBytes("tabs")).toEqual(await runs.adapterBytes("plain"));
});

describe("is refused", () => {
  test("a module that cannot be imported, by its place", async () => {
    await writeFile(runs.at("broken.yaml"), "extensions: [./none.mjs]\nbackbone: ./model\n");
    const refusal = await refusalOf(loadConfig(runs.at("broken.yaml")));
    expect(refusal).toContain(
      `extensions.0: expected a module that can be imported, got ${runs.at("none.mjs")}`,
    );
  });

  test("a kind that nobody registered, among those that there are", async () => {
    const refusal = await refusalOf(runs.run("unknown", { "router.kind": "cosine-mean" }));
    expect(refusal).toMatch(/router\.kind: expected one of auto, .*cosine-means.*, got "cosine-mean"/);
  });

  test.each([
    ["a name that is built in", () => registerRouter("lda", { fit: () => ({ posterior: () => [] }) })],
    ["a name with a meaning", () => registerReader("continual", async function* () {})],
    ["an empty name", () => registerReader("", async function* () {})],
  ])("%s", (_, register) => {
    expect(register).toThrow(/cannot be registered/);
  });
});
