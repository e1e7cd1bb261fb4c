/**
 * Pictures of the page for the documentation, and for whoever looks at all of them: `npx tsx tools/page/screenshots.ts [folder]`, by default
 * into docs/images, there only those that the documentation shows. Needs Chromium (CHROMIUM names another one).
 */
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { listen } from "../../src/server/listen.ts";
import { createServer } from "../../src/server/server.ts";
import { openStore } from "../../src/store/store.ts";
import { buildPage } from "./build.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const [, , given] = process.argv;
const out = given ?? join(root, "docs/images");
const shown = new Set(["ask-light", "ask-dark", "classes-light", "classes-dark"]);
const wanted = (name: string) => given !== undefined || shown.has(name);

const classes = [
  "book_flight",
  "find_hotel",
  "lost_luggage",
  "play_music",
  "set_temperature",
  "check_balance",
];
const strange = [
  "my dog has fleas, what can I do?",
  "how often should a puppy see the vet",
  "is my puppy ill",
  "who wrote Hamlet",
];

/** A store of the demo's texts, taught in three changes. */
async function writeStore(path: string): Promise<void> {
  const rows = readFileSync(join(root, "demo/train.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line): { text: string; label: string } => JSON.parse(line))
    .filter(({ label }) => classes.includes(label));
  await using store = await openStore(path, { create: { backbone: "accrete-mini" }, background: false });
  const of = (labels: readonly string[], from: number, to: number) =>
    labels.flatMap((label) => rows.filter((row) => row.label === label).slice(from, to));
  await store.correct(of(classes.slice(0, 3), 0, 12));
  await store.correct(of(classes.slice(3), 0, 12));
  await store.correct(of(classes, 12, 20));
}

async function shoot(page: Page, name: string): Promise<void> {
  if (wanted(name))
    await page.screenshot({ path: join(out, `page-${name}.png`), fullPage: given !== undefined });
}

async function visit(browser: Browser, url: string, suffix: string, phone: boolean): Promise<void> {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1120, height: 860 },
    colorScheme: suffix.endsWith("dark") ? "dark" : "light",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  await page.goto(`${url}#/ask`);
  await page.getByLabel("Your text").fill("I need a flight to Berlin tomorrow morning");
  await page.getByLabel("Your text").press("Enter");
  await page.getByText("Most like these").waitFor();
  await shoot(page, `ask-${suffix}`);
  await page.goto(`${url}#/teach`);
  await page.getByLabel("Class", { exact: true }).fill("pets");
  await page.getByLabel("Examples, one a line").fill(strange.slice(0, 3).join("\n"));
  await page.getByRole("button", { name: "Add another class" }).click();
  await page.getByText("Texts it knew already").waitFor();
  await shoot(page, `teach-${suffix}`);
  await page.goto(`${url}#/classes`);
  await page.getByRole("heading", { name: "Over the last versions" }).waitFor();
  await shoot(page, `classes-${suffix}`);
  await page.getByRole("button", { name: "Forget play_music" }).click();
  await page.waitForTimeout(300);
  await shoot(page, `forget-${suffix}`);
  await page.goto(`${url}#/history`);
  await page.getByText("answers now").waitFor();
  await page.locator("summary").first().click();
  await page.getByText("→").first().waitFor();
  await shoot(page, `history-${suffix}`);
  await page.goto(`${url}#/runs`);
  await page.waitForTimeout(800);
  await shoot(page, `runs-${suffix}`);
  const run = page.getByRole("table").getByRole("link").first();
  if ((await run.count()) > 0) {
    await run.click();
    await page.getByRole("log").waitFor();
    await shoot(page, `run-${suffix}`);
  }
  await context.close();
}

mkdirSync(out, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), "accrete-page-"));
await writeStore(join(folder, "intents"));
await buildPage(join(folder, "page"));
const server = createServer(
  { intents: join(folder, "intents") },
  { page: join(folder, "page"), keepTexts: { days: 30 }, runs: process.env.RUNS ?? join(root, "runs") },
);
const listening = await listen(server, { host: "127.0.0.1", port: 0 });
await server.opened;
const ask = (path: string, body: object) =>
  fetch(`${listening.url}/stores/intents/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
await ask("predict", { texts: strange });
await ask("corrections", {
  corrections: ["I need a seat on the morning flight", "book me a plane to Rome", "any flights tonight?"].map(
    (text) => ({
      text,
      label: "book_flight",
    }),
  ),
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const looks = [
  ["light", false],
  ["dark", false],
  ["phone-light", true],
  ["phone-dark", true],
] as const;
for (const [suffix, phone] of looks)
  if (given !== undefined || !phone) await visit(browser, `${listening.url}/`, suffix, phone);
await browser.close();
await listening.stop();
