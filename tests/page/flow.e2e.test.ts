/**
 * The page in a real browser: from a store that is not there to a rollback. ACCRETE_ATTACK=1 goes every way on a phone and on a
 * desktop, and has axe look at every width.
 */
import { describe, expect, test } from "vitest";
import { closeBrowserInTheEnd, forgetShifts, look, overflowOf, shiftsOf, sizes } from "../support/browser.ts";
import { ask, expectSound, go, pageTests, serveEmpty, teachAll, widths } from "../support/pageFlows.ts";

const full = process.env.ACCRETE_ATTACK === "1";

closeBrowserInTheEnd();

describe.skipIf(pageTests.absent)(pageTests.titled("the page"), () => {
  test.each(widths("phone"))("from an empty store to a rollback, on a %s", async (size) => {
    // With the router that a store has where nobody says otherwise.
    await using server = await serveEmpty({}, {});
    const looking = await look(server.url, { size: sizes[size] });
    const { page } = looking;
    // Whoever begins is asked to teach.
    await page.getByRole("heading", { name: "Teach" }).waitFor();
    await expectSound(looking, "empty");
    await teachAll(page);
    await page.getByText("Nothing is mixed up among 12 held-out texts.").waitFor();
    await expectSound(looking, "taught");

    await forgetShifts(page);
    await go(page, "Ask");
    await ask(page, "is there a plane to Berlin tomorrow");
    const answer = page.getByRole("article");
    await answer.getByText("book_flight", { exact: true }).first().waitFor();
    for (const fact of ["Unknown", "Task", "Passes", "Version"])
      await answer.getByText(fact, { exact: true }).waitFor();
    await answer.getByText("Most like these 3 learned examples").waitFor();
    await expectSound(looking, "asked");
    expect(await shiftsOf(page)).toEqual([]);

    // One click corrects, and says what it did.
    await answer.getByRole("button", { name: /^find_hotel/ }).click();
    await page.getByText("Corrected: this is find_hotel.").waitFor();
    await page.getByText("Texts it knew already").waitFor();
    await expectSound(looking, "corrected");
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("3 classes, version 4").waitFor();
    await forgetShifts(page);

    await go(page, "Classes");
    await page
      .getByRole("row", { name: /book_flight/ })
      .getByText("4", { exact: true })
      .first()
      .waitFor();
    await page.getByRole("heading", { name: "How sure is it?" }).waitFor();
    await page.getByRole("columnheader", { name: "Version 4" }).waitFor();
    await expectSound(looking, "classes");
    await page.getByRole("button", { name: "Forget play_music" }).click();
    await page.getByRole("dialog").getByText("what is kept of its 4 texts").waitFor();
    await expectSound(looking, "forget");
    expect(await shiftsOf(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    // The focus is where it was.
    expect(await page.evaluate("document.activeElement.ariaLabel")).toBe("Forget play_music");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Forget" }).click();
    await page.getByText("play_music is forgotten. History can bring it back.").waitFor();

    await go(page, "History");
    await page.getByRole("button", { name: "Go back to version 2" }).click();
    await page.getByRole("dialog").getByText("play_music: new, 4 texts").waitFor();
    await expectSound(looking, "go back");
    await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
    await page.getByText("Went back to version 2.").waitFor();
    await page.getByText("3 classes, version 6").waitFor();
    await page.locator("summary").first().click();
    await page.getByRole("listitem").getByText("play_music: new, 4 texts").waitFor();
    await expectSound(looking, "history");
  });

  test.each(widths("phone"))(
    "several corrections are one change, shown before it is made, on a %s",
    async (size) => {
      await using server = await serveEmpty();
      const { page } = await look(server.url, { size: sizes[size] });
      await teachAll(page);
      await go(page, "Ask");
      await ask(page, "a bed for the night\nturn the radio on");
      await expect.poll(() => page.getByRole("article").count(), { timeout: 5000 }).toBe(2);
      for (const [i, label] of ["book_flight", "find_hotel"].entries())
        await page
          .getByRole("article")
          .nth(i)
          .getByRole("button", { name: new RegExp(`^${label}`) })
          .click();
      const tray = page.getByRole("region", { name: "Corrections" });
      await tray.getByText("Right after").waitFor();
      await tray.getByText("Texts it knew already").waitFor();
      // Nothing was changed so far.
      await page.getByText("3 classes, version 2").waitFor();
      await tray.getByRole("button", { name: "Save 2 corrections" }).click();
      await page.getByText("Corrected 2 texts.").waitFor();
      await page.getByText("3 classes, version 3").waitFor();
    },
  );

  test.each(widths("desktop"))(
    "texts that were unknown are grouped, and named in one step, on a %s",
    async (size) => {
      await using server = await serveEmpty();
      const { page } = await look(server.url, { size: sizes[size] });
      await teachAll(page);
      await forgetShifts(page);
      await go(page, "Ask");
      await ask(page, "my dog has fleas\nhow often should a puppy see the vet\nis my puppy ill");
      await page.getByText("It may be none of these classes").first().waitFor();
      await go(page, "Classes");
      const name = page.getByLabel(/Name for \d texts like/).first();
      await name.waitFor();
      expect(await shiftsOf(page)).toEqual([]);
      await name.fill("pets");
      await name.press("Enter");
      await page.getByText("Learned pets from").waitFor();
      await page.getByRole("rowheader", { name: "pets" }).first().waitFor();
      await page.getByText("4 classes, version 3").waitFor();
    },
  );

  test("a dropped file teaches, and markup in names and texts stays text", async () => {
    await using server = await serveEmpty();
    const { page, complaints } = await look(server.url);
    const rows = ["<b>bold</b>", "<img src=x onerror=alert(1)>"].flatMap((label) =>
      ["one", "two", "three"].map((text) => JSON.stringify({ text: `${text} <i>${label}</i>`, label })),
    );
    await page.locator("input[type=file]").setInputFiles({
      name: "rows.jsonl",
      mimeType: "application/jsonl",
      buffer: Buffer.from([...rows, "no JSON"].join("\n")),
    });
    await page.getByText("rows.jsonl: 6 texts, 1 line could not be read.").waitFor();
    await page.getByRole("button", { name: "Teach 2 classes" }).click();
    await page.getByText("Learned <b>bold</b>, <img src=x onerror=alert(1)>.").waitFor();
    await go(page, "Classes");
    await page.getByRole("rowheader", { name: "<b>bold</b>" }).first().waitFor();
    await go(page, "History");
    await page.getByText("learned 2 classes <b>bold</b>").waitFor();
    expect(await page.locator("main img, main i").count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test("the keyboard alone will do", async () => {
    await using server = await serveEmpty();
    const { page } = await look(server.url);
    await page.getByRole("heading", { name: "Teach" }).waitFor();
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.type("greeting");
    await page.keyboard.press("Tab");
    await page.keyboard.type("hello\ngood morning\nhi there");
    for (let i = 0; i < 3; i++) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("Learned greeting.").waitFor();
  });

  test("fits every screen, light and dark", async () => {
    await using server = await serveEmpty();
    const light = await look(server.url);
    await teachAll(light.page);
    const dark = await look(server.url, { dark: true });
    for (const screen of ["Ask", "Teach", "Classes", "History"])
      for (const looking of [light, dark]) {
        await go(looking.page, screen);
        for (const width of [390, 768, 1280, 1920]) {
          await looking.page.setViewportSize({ width, height: 900 });
          const where = `${screen} ${looking === dark ? "dark" : "light"} ${width}`;
          if (full || width === 390 || width === 1280) await expectSound(looking, where);
          else expect({ where, overflow: await overflowOf(looking.page) }).toEqual({ where, overflow: 0 });
        }
        expect([...light.complaints, ...dark.complaints]).toEqual([]);
      }
  });
});
