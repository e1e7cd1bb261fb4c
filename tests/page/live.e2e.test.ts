/** The page in a real browser when things happen: connections, tokens, others, long fits, runs, words and generated answers. */
import { appendFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openStore } from "../../src/store/store.ts";
import { closeBrowserInTheEnd, look, sizes } from "../support/browser.ts";
import { temporaryFolder } from "../support/folders.ts";
import {
  ask,
  emptyStore,
  expectSound,
  go,
  lessons,
  pageTests,
  serveEmpty,
  servePage,
  teach,
  widths,
} from "../support/pageFlows.ts";
import { TinyRuns } from "../support/runs.ts";
import { until } from "../support/servers.ts";
import { writeTinyDecoder } from "../support/tinyModels.ts";
import { texts, writeTinyExperiment } from "../support/tinyStreams.ts";

closeBrowserInTheEnd();

/** A store that knows the three lessons. */
async function taughtStore(): Promise<string> {
  const path = await emptyStore();
  await using store = await openStore(path, { background: false });
  await store.correct(
    Object.entries(lessons).flatMap(([label, own]) => own.map((text) => ({ text, label }))),
  );
  return path;
}

describe.skipIf(pageTests.absent)(pageTests.titled("the page, live"), () => {
  test.each(widths("desktop"))("finds one of many stores by how its name begins, on a %s", async (size) => {
    const root = await temporaryFolder();
    const store = await taughtStore();
    for (let i = 0; i < 120; i++) await cp(store, `${root}/tenant-${1000 + i}`, { recursive: true });
    await using server = await servePage(root);
    const looking = await look(server.url, { size: sizes[size] });
    const { page } = looking;
    await page.getByText("3 classes, version 2").waitFor();
    const field = page.getByLabel("Store", { exact: true });
    expect(await field.inputValue()).toBe("tenant-1000");
    await field.fill("tenant-111");
    const offered = page.locator("#stores option");
    await page.locator('#stores option[value="tenant-1119"]').waitFor({ state: "attached" });
    expect(await offered.evaluateAll((options) => options.map((each) => each.getAttribute("value")))).toEqual(
      Array.from({ length: 10 }, (_, i) => `tenant-${1110 + i}`),
    );
    await field.fill("tenant-1117");
    await field.press("Tab");
    await until("it is chosen", async () => (await page.title()).endsWith("tenant-1117"));
    await expectSound(looking, "many stores");
    await field.fill("tenant-9");
    await field.press("Tab");
    await page.locator("input.store:invalid").waitFor();
    expect(await page.title()).toContain("tenant-1117");
  });

  test("says when the connection is lost, keeps what was typed, and goes on by itself", async () => {
    const store = await taughtStore();
    const first = await servePage({ "demo-store": store });
    const { page } = await look(`${first.url}#/ask`);
    await page.getByLabel("Your text").fill("a plane to Oslo");
    await first.listening.stop();
    await page.getByText("The connection to the server is lost.").waitFor();
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("The server cannot be reached.").waitFor();
    await using _ = await servePage({ "demo-store": store }, {}, first.listening.port);
    await page.getByText("The connection to the server is lost.").waitFor({ state: "detached" });
    expect(await page.getByLabel("Your text").inputValue()).toBe("a plane to Oslo");
    await ask(page, "a plane to Oslo");
  });

  test("asks for the token, takes one from the address, and asks again when it is accepted no more", async () => {
    const store = await taughtStore();
    const tokens = { read: "reader", change: "changer" };
    const first = await servePage({ "demo-store": store }, { tokens });
    const typed = await look(first.url);
    await typed.page.getByText("This server asks for a token.").waitFor();
    await expectSound(typed, "token");
    await typed.page.getByLabel("Token").fill("wrong");
    await typed.page.getByRole("button", { name: "Go on" }).click();
    await typed.page.getByText("The token is not accepted.").waitFor();
    await typed.page.getByLabel("Token").fill("reader");
    await typed.page.getByRole("button", { name: "Go on" }).click();
    await go(typed.page, "Teach");
    await teach(typed.page, "new", ["one", "two"]);
    await typed.page.getByRole("button", { name: "Teach" }).click();
    await typed.page.getByText("This token may only look.").waitFor();

    const { page } = await look(`${first.url}#token=changer`);
    await page.getByText("3 classes").waitFor();
    expect(page.url()).not.toContain("changer");
    await page.reload();
    await page.getByText("3 classes").waitFor();
    await first.listening.stop();
    const expired = { tokens: { read: "other", change: "another" } };
    await using _ = await servePage({ "demo-store": store }, expired, first.listening.port);
    await page.getByText("The token is not accepted.").waitFor();
    await page.getByLabel("Token").fill("another");
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("3 classes").waitFor();
  });

  test("two browsers teach at once: both changes stand, and neither takes back the other's", async () => {
    await using server = await serveEmpty();
    const [one, two] = [await look(server.url), await look(server.url)];
    await teach(one.page, "book_flight", lessons.book_flight);
    await teach(two.page, "find_hotel", lessons.find_hotel);
    await Promise.all(
      [one, two].map(({ page }) => page.getByRole("button", { name: "Teach", exact: true }).click()),
    );
    for (const { page } of [one, two]) await page.getByText("2 classes, version 3").waitFor();
    // Whose change is the newest may undo it; the other one may not any more.
    const undoes = await Promise.all(
      [one, two].map(({ page }) => page.getByRole("button", { name: "Undo" }).count()),
    );
    expect(undoes.toSorted()).toEqual([0, 1]);
    const behind = undoes[0] === 0 ? one : two;
    await go(behind.page, "History");
    await go(behind.page, "Classes");
    for (const label of ["book_flight", "find_hotel"])
      await behind.page.getByRole("rowheader", { name: label }).first().waitFor();
  });

  test("answers and shows all while a long fit goes on", async () => {
    await using served = await servePage({ "demo-store": await taughtStore() });
    const { page } = await look(`${served.url}#/ask`);
    await page.getByText("3 classes").waitFor();
    const train = texts(["aa", "bb", "cc", "dd"], "train", 60);
    const begun = await fetch(`${served.url}stores/demo-store/learn?wait=false`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ task: "letters", examples: train }),
    });
    expect(begun.status).toBe(202);
    await page.getByText("Learning…").waitFor();
    await ask(page, "play a song for me");
    await go(page, "Classes");
    await page.getByRole("rowheader", { name: "play_music" }).first().waitFor();
    await go(page, "History");
    await page.getByText("answers now").waitFor();
    await page.getByText("Learning…").waitFor();
    await fetch(new URL(begun.headers.get("Location") ?? "", served.url), { method: "DELETE" });
    await page.getByText("Learning…").waitFor({ state: "detached" });
  });

  test.each(widths("phone"))(
    "a run is watched while it goes on, and compared with another, on a %s",
    async (size) => {
      const tiny = new TinyRuns();
      await tiny.furnish(writeTinyExperiment);
      await tiny.run("before");
      await using served = await servePage({}, { runs: tiny.root });
      const looking = await look(served.url, { size: sizes[size] });
      const { page } = looking;
      await page.getByRole("link", { name: "before" }).waitFor();
      // A run under way, as far as its record has come.
      const lines = (await readFile(tiny.at("before", "events.jsonl"), "utf8")).trim().split("\n");
      const half = lines.findIndex((line) => line.includes('"type":"evaluated"')) + 1;
      await mkdir(tiny.at("now"));
      const record = tiny.at("now", "events.jsonl");
      await writeFile(record, `${lines.slice(0, half).join("\n")}\n`);
      await page.getByRole("link", { name: "now" }).click();
      await page.getByText("1 of 3").first().waitFor();
      const cells = page.locator(".matrix td[class*=heat]");
      await expect.poll(() => cells.count(), { timeout: 5000 }).toBe(1);
      await appendFile(record, `${lines.slice(half).join("\n")}\n`);
      await page.getByText("3 of 3").first().waitFor();
      await expect.poll(() => cells.count(), { timeout: 5000 }).toBe(6);
      await page.getByRole("log").getByText("Finished").waitFor();
      await page.getByText("Learning took").waitFor();
      await expectSound(looking, "run");
      await page.getByRole("link", { name: "All runs" }).click();
      await page.getByLabel("Compare before").check();
      await page.getByLabel("Compare now").check();
      await page.getByRole("heading", { name: "Side by side" }).waitFor();
      await page.getByRole("rowheader", { name: "Passes a text" }).waitFor();
      await expectSound(looking, "runs");
    },
  );

  test.each(widths("desktop"))(
    "entities are marked in the text, and corrected there, on a %s",
    async (size) => {
      await using served = await servePage({ words: await emptyStore({ level: "word" }) });
      const looking = await look(`${served.url}#/ask`, { size: sizes[size] });
      const { page } = looking;
      const text = "Ada Lovelace lived in London";
      await page.getByLabel("Your text").fill(text);
      await page.getByLabel("Your text").press("Enter");
      for (const [words, type] of [
        [["Ada", "Lovelace"], "person"],
        [["London"], "place"],
      ] as const) {
        for (const word of words) await page.getByRole("button", { name: word, exact: true }).click();
        await page.getByLabel("A new type").fill(type);
        await page.getByLabel("A new type").press("Enter");
      }
      await page.getByRole("button", { name: "Teach this sentence" }).click();
      await page.getByText("Learned this sentence.").waitFor();
      await page.getByText("2 entity types, version 2").waitFor();
      await page.locator("mark", { hasText: "Ada Lovelace" }).getByText("person").waitFor();
      await expectSound(looking, "words");
      // What is found is wrong by now: it is no entity.
      await page.getByRole("button", { name: /London/ }).click();
      await page.getByRole("button", { name: "no entity" }).click();
      await page.getByRole("button", { name: "Teach this sentence" }).click();
      await page.getByText("version 3").first().waitFor();
      // Whole files of tagged sentences are a lesson.
      await go(page, "Teach");
      await page.getByLabel("Name of the lesson").fill("more people");
      await page.locator("input[type=file]").setInputFiles({
        name: "people.jsonl",
        mimeType: "application/jsonl",
        buffer: Buffer.from('{"words": ["Alan", "Turing", "ran"], "tags": ["B-person", "I-person", "O"]}\n'),
      });
      await page.getByText("people.jsonl: 1 tagged sentence.").waitFor();
      await page.getByRole("button", { name: "Teach", exact: true }).click();
      await page.getByText("Learned 1 sentence.").waitFor();
      await expectSound(looking, "taught words");
    },
  );

  test.each(widths("phone"))("a store that answers in words streams what it says, on a %s", async (size) => {
    const folder = await temporaryFolder();
    await writeTinyDecoder(join(folder, "decoder"));
    const rows = ["lamp", "stop"].flatMap((word) =>
      Array.from({ length: 10 }, (_, i) => ({ text: `${word} ${i} ${word}`, label: `say_${word}` })),
    );
    {
      await using store = await openStore(join(folder, "answers"), {
        create: { backbone: join(folder, "decoder"), head: "none", threads: 1, training: { epochs: 2 } },
        background: false,
      });
      await store.learn({ name: "say", train: rows });
    }
    await using served = await servePage({ answers: join(folder, "answers") });
    const looking = await look(`${served.url}#/ask`, { size: sizes[size] });
    const { page } = looking;
    await ask(page, "lamp 3 lamp");
    await page.getByRole("heading", { name: "In its own words" }).waitFor();
    // It comes in pieces, and grows.
    await expect.poll(() => page.locator(".said").textContent(), { timeout: 20_000 }).toMatch(/\S{3}/);
    await expectSound(looking, "generated");
  });

  test("of a server that only answers nothing is offered that it would refuse", async () => {
    await using served = await servePage({ "demo-store": await taughtStore() }, { readOnly: true });
    const looking = await look(`${served.url}#/ask`);
    const { page } = looking;
    await ask(page, "play a song for me");
    await page.getByText("Passes", { exact: true }).waitFor();
    expect(await page.getByText("Wrong? Choose what is right:").count()).toBe(0);
    await go(page, "Teach");
    await page.getByText("This server only answers. Nothing can be taught here.").waitFor();
    await go(page, "Classes");
    await page.getByRole("heading", { name: "How sure is it?" }).waitFor();
    expect(await page.getByRole("button", { name: /Forget/ }).count()).toBe(0);
    await go(page, "History");
    await page.getByText("answers now").waitFor();
    expect(await page.getByRole("button", { name: /Go back/ }).count()).toBe(0);
    await expectSound(looking, "read-only");
  });

  test("the page comes from here alone, under a policy without exceptions, and may be kept for good", async () => {
    await using served = await servePage({ "demo-store": await taughtStore() });
    const answered = await fetch(served.url);
    const policy = answered.headers.get("Content-Security-Policy") ?? "";
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(answered.headers.get("Cache-Control")).toBe("no-cache");
    const html = await answered.text();
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(files.map((path) => path.replace(/-[0-9a-f]{12}\./, "."))).toEqual([
      "/page/icon.svg",
      "/page/style.css",
      "/page/app.js",
    ]);
    for (const path of files) {
      const file = await fetch(new URL(path, served.url));
      expect(file.headers.get("Cache-Control")).toBe("public, max-age=31536000, immutable");
      const { length } = await file.text();
      if (path.endsWith(".js")) expect(length).toBeLessThan(150_000);
    }
    expect((await fetch(`${served.url}page/../package.json`)).status).toBe(404);
    expect((await fetch(`${served.url}page/nothing.js`)).status).toBe(404);
  });
});
