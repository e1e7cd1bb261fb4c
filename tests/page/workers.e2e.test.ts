/** The page's screen of a queue's workers. */
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import type { WatchedQueue } from "../../src/server/api/workerRoutes.ts";
import { closeBrowserInTheEnd, look, sizes } from "../support/browser.ts";
import { expectSound, pageTests, serveEmpty, servePage } from "../support/pageFlows.ts";

closeBrowserInTheEnd();

const own = { version: "0.1.0", concurrency: 2, work: [], done: 0, failed: 0, dead: false, silentSeconds: 1 };
const work = { sweep: "ranks", trial: "c0/seed-1", evaluated: 1, tasks: 6 };
const workers = [
  { ...own, name: "here-1", done: 3, work: [{ ...work, examplesPerSecond: 41.7, secondsLeft: 600 }] },
  { ...own, name: "here-2", waits: "its disk is full" },
  { ...own, name: "there-3", dead: true, silentSeconds: 240 },
];
const jobs = { waiting: 3, delayed: 1, "waiting-children": 0, active: 1, completed: 3, failed: 2 };

describe.skipIf(pageTests.absent)(pageTests.titled("the page's workers"), () => {
  test.each(["phone", "desktop"] as const)(
    "who does what, and a queue that is silent, on a %s",
    async (size) => {
      let answers = true;
      const queue: WatchedQueue = {
        read: async () => {
          if (!answers) throw new StoreError("the queue does not answer: redis://there:6379");
          return { place: "redis://there:6379", workers, jobs };
        },
        register: () => {},
      };
      await using served = await servePage({}, { queue });
      const looking = await look(served.url, { size: sizes[size] });
      const { page } = looking;
      const row = (name: string) => page.getByRole("row").filter({ hasText: name });
      await row("here-1")
        .getByText("ranks c0/seed-1, 1 of 6 tasks, 42 texts a second, 10 min left")
        .waitFor();
      await row("here-2").getByText("its disk is full").waitFor();
      expect(await row("there-3").textContent()).toMatch(/dead.*4 min ago/);
      expect(await page.locator("dl").textContent()).toBe(
        "Workers2Dead workers1Jobs waiting4At work1Done3Failed2",
      );
      await expectSound(looking, "workers");
      answers = false;
      await page.getByText("The queue does not answer: redis://there:6379.").waitFor();
      expect(await page.getByRole("row").count()).toBe(0);
      answers = true;
      await row("here-1").waitFor();
    },
  );

  test("without a queue there is no tab, and the screen says why", async () => {
    await using served = await serveEmpty();
    const { page } = await look(`${served.url}#/workers`);
    await page.getByText("This server watches no queue of workers.").waitFor();
    expect(await page.getByRole("link", { name: "Workers" }).count()).toBe(0);
  });
});
