/**
 * Walks through the page as a new user would, from a folder that is not there to a rollback, and takes the time: `npx tsx tools/page/walk.ts`.
 * It starts the built command (`npm run build`) and needs Chromium.
 */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const lessons = {
  book_flight: "find me a flight to Rome\nI want to fly to Oslo\nbook a plane ticket\ncheap flights to Spain",
  find_hotel: "I need a hotel room\nwhere can I sleep in Lisbon\nbook two nights\na room with a view",
  play_music: "play some jazz\nput on my playlist\nI want to hear Mozart\nplay the next song",
} as const;

const begun = performance.now();
const seconds = () => ((performance.now() - begun) / 1000).toFixed(1);
let clicks = 0;
const say = (what: string) =>
  console.log(`${seconds().padStart(6)} s  ${String(clicks).padStart(2)} clicks  ${what}`);

const child = spawn(process.execPath, [command, "serve", "demo-store", "--port", "0"], {
  cwd: mkdtempSync(join(tmpdir(), "accrete-walk-")),
});
const url = await new Promise<string>((resolve) => {
  let told = "";
  child.stdout.on("data", (chunk) => {
    told += chunk;
    const [, found] = /Open (\S+) in a browser/.exec(told) ?? [];
    if (found !== undefined) resolve(found);
  });
});
say("accrete serve demo-store has printed where the page is");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
const click = async (role: "button" | "link", name: string | RegExp) => {
  await page.getByRole(role, { name }).first().click();
  clicks += 1;
};
await page.goto(url);
await page.getByRole("heading", { name: "Teach" }).waitFor();
say("the page asks to teach");
for (const [i, [label, texts]] of Object.entries(lessons).entries()) {
  await page.getByLabel("Class", { exact: true }).fill(label);
  await page.getByLabel("Examples, one a line").fill(texts);
  clicks += 2;
  if (i < 2) await click("button", "Add another class");
}
say("three classes are named, with their examples pasted");
await click("button", "Teach 3 classes");
await page.getByText("held-out texts").first().waitFor();
say("three classes are taught, and what that did is shown");
await click("link", "Try it");
await page.getByLabel("Your text").fill("is there a plane to Berlin tomorrow");
await page.getByLabel("Your text").press("Enter");
clicks += 1;
await page.getByRole("article").first().waitFor();
say("a text is answered");
await page.getByRole("article").locator(".chip").first().click();
clicks += 1;
await page.getByText("Corrected: this is").waitFor();
say("the answer is corrected");
await click("link", "History");
await click("button", "Go back to version 2");
await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
clicks += 1;
await page.getByText("Went back to version 2.").waitFor();
say("the correction is rolled back");
await browser.close();
child.kill("SIGTERM");
