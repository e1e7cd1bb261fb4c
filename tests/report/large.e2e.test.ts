/** A page of many tasks in a real browser, as a file that somebody opened. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { renderHtml } from "../../src/report/html.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { browserHere, closeBrowserInTheEnd, look, sizes } from "../support/browser.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { syntheticEvents } from "../support/records.ts";

const folder = folderOfTestFile("large");

describe.skipIf(browserHere.absent)(browserHere.titled("a page of many tasks"), () => {
  closeBrowserInTheEnd();
  const nasty = "<b>news</b>";
  const record = buildRunRecord(
    syntheticEvents({ tasks: 60, stepsPerTask: 20, taskName: (task) => `${nasty} ${task}` }),
  );
  const percent = (row: number, column: number) => `${(100 * (record.cil[row]?.[column] ?? 0)).toFixed(1)} %`;

  for (const [name, size] of Object.entries(sizes))
    for (const dark of [false, true])
      test(`says what a cell is where somebody points, ${name}, ${dark ? "dark" : "light"}`, async () => {
        const path = join(folder, "report.html");
        await writeFile(path, renderHtml(record));
        const { page, complaints } = await look(pathToFileURL(path).href, { size, dark });
        const raster = page.locator(".raster").first();
        const cells = raster.locator(".cells");
        const output = raster.locator("output");
        expect(await output.textContent()).toContain("Point at a cell");
        await cells.scrollIntoViewIfNeeded();
        const box = (await cells.boundingBox()) ?? expect.unreachable();
        const position = { x: (box.width * 10.5) / 60, y: (box.height * 40.5) / 60 };
        if (name === "phone") await cells.tap({ position });
        else await cells.hover({ position });
        expect(await output.textContent()).toBe(
          `after 40 ${nasty} 40, on 10 ${nasty} 10: ${percent(40, 10)}`,
        );
        await cells.focus();
        await page.keyboard.press("ArrowUp");
        await page.keyboard.press("ArrowRight");
        expect(await output.textContent()).toBe(
          `after 39 ${nasty} 39, on 11 ${nasty} 11: ${percent(39, 11)}`,
        );
        await cells.click({ position: { x: box.width - 2, y: 2 } });
        expect(await output.textContent()).toContain(": –");
        // The picture of the reader's theme.
        const shown = await cells
          .locator("img")
          .evaluate((image: { currentSrc: string }) => image.currentSrc);
        const source = await cells.locator(dark ? "source" : "img").getAttribute(dark ? "srcset" : "src");
        expect(shown).toBe(source);
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(size.width);
        expect(complaints).toEqual([]);
      });
});
