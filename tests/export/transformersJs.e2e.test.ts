/** transformers.js on exported folders, under Node and in Chromium: it answers as the store does. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Prediction } from "../../src/continual/answers.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { exportStore } from "../../src/export/exportStore.ts";
import { openStore } from "../../src/store/store.ts";
import { compareScores, demoTexts, type Scores } from "../support/exports.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { optional } from "../support/shared.ts";
import { tolerances } from "../support/tolerances.ts";
import { openBrowser, openPage, serveFolders, systemBrowser } from "../support/webBrowser.ts";

const peers = join(packageRoot, "tools/peers-js");
const transformersJs = optional(
  join(peers, "node_modules/@huggingface/transformers"),
  "transformers.js is not installed: npm ci --ignore-scripts --prefix tools/peers-js",
);

const answersSchema = z.array(z.array(z.object({ label: z.string(), score: z.number() })));

function scoresOf(answers: unknown): readonly Scores[] {
  return answersSchema.parse(answers).map((each) => new Map(each.map(({ label, score }) => [label, score])));
}

function askInNode(folder: string, texts: readonly string[]): readonly Scores[] {
  const { stdout, stderr, status } = spawnSync("node", [join(peers, "classify.mjs"), folder], {
    input: JSON.stringify(texts),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, ORT_DISABLE_TELEMETRY: "1" },
  });
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return scoresOf(JSON.parse(stdout));
}

/** In a page that has nothing but the library. */
async function askInBrowser(folder: string, texts: readonly string[]): Promise<readonly Scores[]> {
  const server = await serveFolders({ models: folder, peers: join(peers, "node_modules") });
  const browser = await openBrowser();
  try {
    const page = await openPage(browser, `${server.at}/models/config.json`);
    const answers: unknown = await page.evaluate(`(async () => {
      const { env, pipeline } = await import("/peers/@huggingface/transformers/dist/transformers.min.js");
      env.allowRemoteModels = false;
      env.allowLocalModels = true;
      env.localModelPath = "/";
      env.useBrowserCache = false;
      env.backends.onnx.wasm.wasmPaths = "${server.at}/peers/onnxruntime-web/dist/";
      const ask = await pipeline("text-classification", "models");
      const answers = [];
      for (const text of ${JSON.stringify(texts)}) answers.push(await ask(text, { top_k: null }));
      return answers;
    })()`);
    return scoresOf(answers);
  } finally {
    await browser.close();
    await server.close();
  }
}

describe.skipIf(transformersJs.absent)(transformersJs.titled("transformers.js"), () => {
  const folder = folderOfTestFile("transformers-js");
  const at = (name: string) => join(folder, name);
  let asked: readonly string[] = [];
  const answers: Record<string, readonly Prediction[]> = {};

  beforeAll(async () => {
    asked = (await demoTexts("test")).slice(0, 200).map(({ text }) => text);
    const train = await demoTexts("train");
    const create = { backbone: "accrete-mini", threads: 2, training: { epochs: 1 } };
    const few = await demoTexts("train", 3);
    await using store = await openStore(at("store"), { create, background: false });
    await store.learn({ name: "few", train: few });
    const taught = new Set(few.map(({ label }) => label));
    await store.learn(
      { name: "rest", train: train.filter(({ label }) => !taught.has(label)) },
      { statisticsOnly: true },
    );
    await exportStore(at("store"), { to: "onnx", out: at("onnx") });
    await exportStore(at("store"), { to: "merged", out: at("merged") });
    answers.onnx = await store.predict(asked, { top: 99 });
    answers.merged = await store.predict(asked, { top: 99, task: "few" });
  });

  test.each(["onnx", "merged"])("under Node, --to %s", (kind) => {
    const compared = compareScores(answers[kind]!, askInNode(at(kind), asked));
    expect(compared).toMatchObject({ otherwise: 0, texts: 200 });
    expect(compared.largest).toBeLessThan(tolerances.float32);
  });

  test.skipIf(systemBrowser.absent).each(["onnx", "merged"])(
    systemBrowser.titled("in Chromium, --to %s"),
    async (kind) => {
      const compared = compareScores(answers[kind]!, await askInBrowser(at(kind), asked));
      expect(compared).toMatchObject({ otherwise: 0, texts: 200 });
      expect(compared.largest).toBeLessThan(tolerances.float32);
    },
  );
});
