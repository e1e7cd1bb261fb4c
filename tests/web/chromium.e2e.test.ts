/** The bundle of `accrete-lm/web` and its demo page in Chromium: answers, teaching, and what the browser keeps. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Prediction } from "../../src/continual/answers.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { exportStore } from "../../src/export/exportStore.ts";
import { openStore } from "../../src/store/store.ts";
import { bundleWeb } from "../../tools/web/bundle.ts";
import { demoTexts } from "../support/exports.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { tolerances } from "../support/tolerances.ts";
import { openBrowser, openPage, serveFolders, systemBrowser } from "../support/webBrowser.ts";

type Browser = Awaited<ReturnType<typeof openBrowser>>;
type Page = Awaited<ReturnType<typeof openPage>>;
type Server = Awaited<ReturnType<typeof serveFolders>>;

const greeting = ["hello there", "good morning to you", "hi, how are you", "hey", "greetings, friend"];

const status = (page: Page) => page.textContent("#status");

async function waitForStatus(page: Page, wanted: RegExp): Promise<void> {
  const source = JSON.stringify(wanted.source);
  const condition = `new RegExp(${source}).test(document.querySelector("#status")?.textContent ?? "")`;
  await page.waitForFunction(condition, undefined, { timeout: 60_000 });
}

async function teach(page: Page, label: string, examples: readonly string[]): Promise<void> {
  await page.fill("#label", label);
  await page.fill("#examples", examples.join("\n"));
  await page.click("#teach button");
  await waitForStatus(page, new RegExp(`Learned ${label} from ${examples.length}`));
}

/** The labels that the page answers with, the likeliest first. */
async function ask(page: Page, text: string): Promise<readonly string[]> {
  await page.fill("#text", "");
  await page.fill("#text", text);
  await page.waitForSelector("#answers li");
  return await page.$$eval("#answers li", (items) => items.map((item) => item.dataset.label ?? ""));
}

describe.skipIf(systemBrowser.absent)(systemBrowser.titled("in Chromium"), () => {
  const folder = folderOfTestFile("chromium");
  let [browser, server]: [Browser | undefined, Server | undefined] = [undefined, undefined];
  const page = async (path: string) => await openPage(browser!, `${server!.at}${path}`);

  beforeAll(async () => {
    await bundleWeb(join(folder, "package/dist/web"));
    await cp(join(packageRoot, "models/accrete-mini"), join(folder, "package/models/accrete-mini"), {
      recursive: true,
    });
    const create = { backbone: "accrete-mini", threads: 2 };
    await using store = await openStore(join(folder, "store"), { create, background: false });
    await store.learn({ name: "demo", train: await demoTexts("train") }, { statisticsOnly: true });
    await exportStore(join(folder, "store"), { to: "onnx", out: join(folder, "exported") });
    server = await serveFolders({
      package: join(folder, "package"),
      exported: join(folder, "exported"),
      engine: join(packageRoot, "node_modules/onnxruntime-web/dist"),
    });
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test("the demo page teaches accrete-mini, saves it, and finds it again", async () => {
    const demo = "/package/dist/web/demo/index.html?engine=/engine/";
    const first = await page(demo);
    await waitForStatus(first, /Ready: 0 classes/);
    await teach(first, "flight", ["book a flight to Rome", "a plane ticket to Oslo", "fly me to Paris"]);
    await teach(first, "recipe", ["how do I cook rice", "a recipe for pancakes", "what can I bake"]);
    expect((await ask(first, "I want to fly to Lisbon"))[0]).toBe("flight");
    expect((await ask(first, "how long does pasta have to cook"))[0]).toBe("recipe");
    await first.click("#save");
    await waitForStatus(first, /Saved in this browser/);
    // A page that is opened later begins empty, and finds what the other saved.
    await first.goto(`${server!.at}${demo}`);
    await waitForStatus(first, /Ready: 0 classes/);
    await first.click("#restore");
    await waitForStatus(first, /Ready: 2 classes/);
    expect(await first.locator("#classes li").allTextContents()).toEqual(["flight (3)", "recipe (3)"]);
    expect((await ask(first, "I want to fly to Lisbon"))[0]).toBe("flight");
    await first.close();
  });

  test("an error is told on the page, with what to do", async () => {
    const broken = await page("/package/dist/web/demo/index.html?engine=/engine/&store=/nowhere");
    await waitForStatus(broken, /accrete.json is missing/);
    expect(await status(broken)).toContain("accrete export <store> --to onnx");
    await broken.close();
  });

  test("an exported store answers 200 texts as in Node, before and after it learned a class", async () => {
    const asked = [...(await demoTexts("test")).slice(0, 195).map(({ text }) => text), ...greeting];
    const demo = await page("/package/dist/web/demo/index.html?engine=/engine/&store=/exported");
    await waitForStatus(demo, /Ready: 24 classes/);
    // As text: what builds this file would rewrite the import.
    const inBrowser = (examples: readonly string[]): Promise<readonly Prediction[]> =>
      demo.evaluate(`(async () => {
        const { WebStore } = await import("/package/dist/web/index.js");
        const store = await WebStore.open("/exported", { engine: "${server!.at}/engine/" });
        const examples = ${JSON.stringify(examples)};
        if (examples.length > 0) await store.learnClass("greeting", examples);
        return await store.predict(${JSON.stringify(asked)}, { top: 99 });
      })()`);
    await using node = await openStore(join(folder, "store"), { background: false });
    for (const examples of [[], greeting]) {
      if (examples.length > 0) await node.learnClass("greeting", examples);
      const [ours, theirs] = [await inBrowser(examples), await node.predict(asked, { top: 99 })];
      expect(ours.map(({ label }) => label)).toEqual(theirs.map(({ label }) => label));
      const differences = ours.flatMap(({ top }, i) => {
        const expected = new Map(theirs[i]!.top.map(({ label, score }) => [label, score]));
        return top.map(({ label, score }) => Math.abs(score - expected.get(label)!));
      });
      expect(differences).toHaveLength(200 * (examples.length > 0 ? 25 : 24));
      expect(Math.max(...differences)).toBeLessThan(tolerances.float32);
    }
    await demo.close();
  });
});
