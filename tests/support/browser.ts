/** A real browser: Debian's Chromium, or the one that CHROMIUM names. */
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, onTestFinished } from "vitest";
import { buildPage } from "../../tools/page/build.ts";
import { folderOfTestFile } from "./folders.ts";
import { type Optional, optional } from "./shared.ts";

const candidates = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];
const found = candidates.find((path) => path !== undefined && existsSync(path));

export const browserHere: Optional = optional(
  found ?? "/usr/bin/chromium",
  "no Chromium is here: apt-get install -y chromium, or name one with CHROMIUM",
);

/** The screens that people have. */
export const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } } as const;

let launched: Promise<Browser> | undefined;

function browser(): Promise<Browser> {
  launched ??= chromium.launch({
    executablePath: browserHere.path,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  return launched;
}

/** Closes the browser at the end of the test file. */
export function closeBrowserInTheEnd(): void {
  afterAll(async () => {
    await (await launched)?.close();
    launched = undefined;
  });
}

/** The page, built anew from its source. */
export async function builtPage(): Promise<string> {
  const folder = folderOfTestFile("page");
  await buildPage(folder);
  return folder;
}

export interface Looking {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What went wrong in the browser, and what was asked of other hosts. */
  readonly complaints: readonly string[];
}

export interface LookOptions {
  readonly size?: { readonly width: number; readonly height: number };
  readonly dark?: boolean;
}

/** Opens a tab of its own, which is closed with the test. */
export async function look(
  url: string,
  { size = sizes.desktop, dark = false }: LookOptions = {},
): Promise<Looking> {
  const context = await (await browser()).newContext({
    viewport: { ...size },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    hasTouch: size.width < 600,
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on("pageerror", ({ message }) => complaints.push(`error: ${message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      complaints.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).host !== new URL(url).host) complaints.push(`asked ${request.url()}`);
  });
  await page.addInitScript({ content: watchShifts });
  await page.goto(url);
  return { page, context, complaints };
}

/** Runs in the page: notes what moves without anybody having done something. */
const watchShifts = `
  globalThis.layoutShifts = [];
  const placeOf = ({ left, top, width, height }) => [left, top, width, height].map(Math.round).join(" ");
  new PerformanceObserver((list) => {
    for (const { hadRecentInput, value, sources } of list.getEntries()) {
      if (hadRecentInput) continue;
      const moved = sources.map(({ node, previousRect, currentRect }) =>
        \`\${node?.nodeName}.\${node?.className ?? node?.textContent} (\${placeOf(previousRect)} → \${placeOf(currentRect)})\`);
      globalThis.layoutShifts.push({ screen: location.hash, value, moved });
    }
  }).observe({ type: "layout-shift", buffered: true });
`;

interface Shift {
  readonly screen: string;
  readonly value: number;
  readonly moved: readonly string[];
}

/** What moved by itself so far by more than can hardly be seen. */
export async function shiftsOf(page: Page): Promise<readonly Shift[]> {
  const all = await page.evaluate<readonly Shift[]>("globalThis.layoutShifts");
  return all.filter(({ value }) => value > 0.01);
}

/** What a change has moved makes room for what it did: from here on nothing may move. */
export async function forgetShifts(page: Page): Promise<void> {
  await page.evaluate("globalThis.layoutShifts.length = 0");
}

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** What axe finds, of any weight, with the place where it is. What a test evaluates is no script of the page. */
export async function axeFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(`${axe.source}; undefined`);
  const violations = await page.evaluate<readonly Finding[]>(
    "axe.run().then(({ violations }) => violations)",
  );
  return violations.map(
    ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join(" | ")}`,
  );
}

/** By how many pixels the page is wider than the screen. */
export async function overflowOf(page: Page): Promise<number> {
  const { scrollWidth, width } = await page.evaluate<{ scrollWidth: number; width: number }>(
    "({ scrollWidth: document.documentElement.scrollWidth, width: window.innerWidth })",
  );
  return Math.max(0, scrollWidth - width);
}
