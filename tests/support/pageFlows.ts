/** What tests of the page do in it, as a user would. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { type Listening, listen } from "../../src/server/listen.ts";
import { createServer, type ServerOptions, type StoreServer } from "../../src/server/server.ts";
import { createStore } from "../../src/store/create.ts";
import { axeFindings, browserHere, builtPage, type Looking, overflowOf } from "./browser.ts";
import { temporaryFolder } from "./folders.ts";
import { optional } from "./shared.ts";

const shipped = optional(join(packageRoot, "models/accrete-mini/model.safetensors"));
/** What these tests need, or why they are skipped. */
export const pageTests = browserHere.absent ? browserHere : shipped;

const bothWidths = ["phone", "desktop"] as const;

/** Widths that a test looks at: the usual one of the two, and both with ACCRETE_ATTACK=1. */
export function widths(usual: (typeof bothWidths)[number]): readonly (typeof bothWidths)[number][] {
  return process.env.ACCRETE_ATTACK === "1" ? bothWidths : [usual];
}

export interface ServedPage extends AsyncDisposable {
  readonly url: string;
  readonly server: StoreServer;
  readonly listening: Listening;
}

/** Serves stores with the page. @param stores as `createServer` takes them @param port 0: any that is free */
export async function servePage(
  stores: Readonly<Record<string, string>> | string,
  options: ServerOptions = {},
  port = 0,
): Promise<ServedPage> {
  const server = createServer(stores, { page: await builtPage(), pollMs: 100, ...options });
  const listening = await listen(server, { host: "127.0.0.1", port });
  await server.opened;
  return {
    url: `${listening.url}/`,
    server,
    listening,
    [Symbol.asyncDispose]: () => listening.stop(),
  };
}

/** The router that a store has by itself at first; the one that takes over is fitted in seconds after every change. */
const quick = { router: "kernel-discriminant" } as const;

/** An empty store on the model that ships. @returns its folder */
export async function emptyStore(config: object = quick): Promise<string> {
  const folder = await temporaryFolder();
  await createStore(`${folder}/demo-store`, { backbone: "accrete-mini", ...config });
  return `${folder}/demo-store`;
}

export async function serveEmpty(options: ServerOptions = {}, config?: object): Promise<ServedPage> {
  return await servePage({ "demo-store": await emptyStore(config) }, { keepTexts: { days: 30 }, ...options });
}

export const lessons = {
  book_flight: ["find me a flight to Rome", "I want to fly to Oslo", "book a plane ticket", "cheap flights"],
  find_hotel: ["I need a hotel room", "where can I sleep in Lisbon", "book two nights", "a room with a view"],
  play_music: ["play some jazz", "put on my playlist", "I want to hear Mozart", "play the next song"],
} as const;

export async function teach(page: Page, name: string, texts: readonly string[]): Promise<void> {
  await page.getByLabel("Class", { exact: true }).fill(name);
  await page.getByLabel("Examples, one a line").fill(texts.join("\n"));
}

export async function teachAll(page: Page): Promise<void> {
  const names = Object.entries(lessons);
  for (const [i, [name, texts]] of names.entries()) {
    await teach(page, name, texts);
    if (i < names.length - 1) await page.getByRole("button", { name: "Add another class" }).click();
  }
  await page.getByRole("button", { name: "Teach 3 classes" }).click();
  await page.getByText("Learned book_flight, find_hotel, play_music.").waitFor();
}

export async function go(page: Page, screen: string): Promise<void> {
  await page.getByRole("link", { name: screen, exact: true }).click();
  await page.getByRole("heading", { name: screen, level: 1 }).waitFor();
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.getByLabel("Your text").fill(text);
  await page.getByLabel("Your text").press("Enter");
  await page
    .getByRole("article")
    .filter({ hasText: text.split("\n")[0] ?? "" })
    .first()
    .waitFor();
}

/** Nothing to complain of: not by axe, not by the browser, nothing wider than the screen. */
export async function expectSound({ page, complaints }: Looking, where: string): Promise<void> {
  expect({ where, axe: await axeFindings(page), overflow: await overflowOf(page), complaints }).toEqual({
    where,
    axe: [],
    overflow: 0,
    complaints: [],
  });
}
