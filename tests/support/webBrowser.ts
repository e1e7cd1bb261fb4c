/** Chromium, and a server of this package's files, for tests of what runs in a browser. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { optional } from "./shared.ts";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** A browser, where the system has one. */
export const systemBrowser = optional(
  process.env.CHROMIUM ?? places.find((path) => existsSync(path)) ?? places[0]!,
  "no Chromium is installed: apt-get install chromium, or set CHROMIUM",
);

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/**
 * Serves folders over HTTP.
 * @param folders by the first part of an address; "" is the rest
 */
export async function serveFolders(folders: Readonly<Record<string, string>>) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    const [, first = "", ...rest] = path.split("/");
    const folder = folders[first];
    const file = folder === undefined ? join(folders[""] ?? packageRoot, path) : join(folder, ...rest);
    try {
      const bytes = await readFile(file);
      response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address: AddressInfo | string | null = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    at: `http://localhost:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export async function openBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: systemBrowser.path, args: ["--no-sandbox"] });
}

/** A page whose errors fail the test that waits for something on it. */
export async function openPage(browser: Browser, address: string): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => {
    console.error(`page: ${error.message}`);
  });
  page.on("console", (message) => {
    // A file that is not there is nothing yet: several are optional.
    if (message.type() === "error" && !message.text().includes("404"))
      console.error(`page: ${message.text()}`);
  });
  await page.goto(address);
  return page;
}
