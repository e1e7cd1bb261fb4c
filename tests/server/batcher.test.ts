import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RequestError } from "../../src/server/engine/errors.ts";
import { type AskedText, Batcher, cheapestBatch, reckonTokens } from "../../src/server/service/batcher.ts";

const never = new AbortController().signal;

/** An engine that answers when it is let go on. */
function slowEngine() {
  const batches: (readonly AskedText[])[] = [];
  const waiting: (() => void)[] = [];
  const run = async (texts: readonly AskedText[]) => {
    batches.push(texts);
    await new Promise<void>((resolve) => waiting.push(resolve));
    if (texts.includes("bad")) throw new TypeError("bad");
    return texts.map((text) => `${text}!`);
  };
  const release = async () => {
    for (let i = 0; i < 50; i++) {
      for (const go of waiting.splice(0)) go();
      await sleep(1);
    }
  };
  return { batches, run, release };
}

function batcherOf(queuedTexts = 100, batchTokens = 30) {
  return new Batcher<string>({ queuedTexts, batchTokens });
}

describe("batches", () => {
  test("take texts of several requests: the one that waits longest, with those of like length", async () => {
    const { batches, run, release } = slowEngine();
    const batcher = batcherOf(100, 1000);
    const kind = { key: "one", run };
    const long = "word ".repeat(60);
    const busy = [batcher.ask(kind, ["1"], never), batcher.ask(kind, ["2"], never)];
    const asked = ["a", long, "b", `${long} c`, "d"].map((text) => batcher.ask(kind, [text], never));
    await release();
    await Promise.all(busy);
    expect((await Promise.all(asked)).flat()).toEqual(["a!", `${long}!`, "b!", `${long} c!`, "d!"]);
    // Two batches are with the engine at once; what comes meanwhile waits together.
    expect(batches).toEqual([["1"], ["2"], ["a", "b", "d"], [long, `${long} c`]]);
  });

  test("hold no more than the budget of tokens and the texts of a pass, but always one text", async () => {
    expect(reckonTokens("one two three")).toBe(5);
    expect(reckonTokens("x".repeat(60))).toBe(12);
    const { batches, run, release } = slowEngine();
    const batcher = batcherOf(100, 10);
    const kind = { key: "one", run };
    const asked = batcher.ask(kind, ["x".repeat(400), "a", "b", "c", "d"], never);
    await release();
    expect(await asked).toHaveLength(5);
    expect(batches.map(({ length }) => length)).toEqual([1, 3, 1]);
    const wide = slowEngine();
    const many = batcherOf(1000, 10_000).ask(
      { key: "one", run: wide.run },
      Array.from({ length: 80 }, () => "a"),
      never,
    );
    await wide.release();
    await many;
    expect(wide.batches.map(({ length }) => length)).toEqual([32, 32, 16]);
  });

  test("are of one kind; the kind whose text waits longest is next", async () => {
    const { batches, run, release } = slowEngine();
    const batcher = batcherOf();
    const asked = ["x", "y", "x", "y"].map((key, i) => batcher.ask({ key, run }, [`${key}${i}`], never));
    await release();
    expect((await Promise.all(asked)).flat()).toEqual(["x0!", "y1!", "x2!", "y3!"]);
    expect(batches).toEqual([["x0"], ["y1"], ["x2"], ["y3"]]);
  });

  test("that fail are answered text by text: what one request asked fails no other", async () => {
    const { run, release } = slowEngine();
    const batcher = batcherOf();
    const kind = { key: "one", run };
    const first = [batcher.ask(kind, ["1"], never), batcher.ask(kind, ["2"], never)];
    const [good, bad] = [batcher.ask(kind, ["good"], never), batcher.ask(kind, ["bad"], never)];
    const refused = expect(bad).rejects.toThrow("bad");
    await release();
    expect(await good).toEqual(["good!"]);
    await refused;
    await Promise.all(first);
  });
});

test("texts are divided at the least cost that there is", () => {
  const [pass, most, budget] = [64, 32, 400];
  const costOf = (tokens: readonly number[], cuts: readonly number[]) =>
    cuts.slice(1).reduce((sum, end, i) => {
      const [size, longest] = [end - (cuts[i] ?? 0), tokens[end - 1] ?? 0];
      const isTooLarge = size > most || (size > 1 && size * longest > budget);
      return sum + (isTooLarge ? Number.POSITIVE_INFINITY : pass + size * longest);
    }, 0);
  const everyDivision = (n: number): number[][] =>
    Array.from({ length: 2 ** (n - 1) }, (_, mask) => [
      0,
      ...Array.from({ length: n - 1 }, (_, i) => i + 1).filter((i) => mask & (1 << (i - 1))),
      n,
    ]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 3, max: 200 }), { minLength: 1, maxLength: 9 }), (lengths) => {
      const tokens = lengths.toSorted((a, b) => a - b);
      const cuts = new Set([0]);
      for (const place of tokens.keys()) {
        const [start, end] = cheapestBatch(tokens, place, budget);
        expect(start <= place && place < end).toBe(true);
        cuts.add(start).add(end);
      }
      const best = Math.min(...everyDivision(tokens.length).map((division) => costOf(tokens, division)));
      expect(
        costOf(
          tokens,
          [...cuts].toSorted((a, b) => a - b),
        ),
      ).toBe(best);
    }),
  );
});

describe("the queue", () => {
  test("refuses what it has no room for with 429, and when to ask again", async () => {
    const { run, release } = slowEngine();
    const batcher = batcherOf(4);
    const kind = { key: "one", run };
    const asked = Array.from({ length: 6 }, (_, i) => batcher.ask(kind, [`${i}`], never));
    expect(batcher.queuedTexts).toBe(4);
    const refused = await batcher.ask(kind, ["more"], never).catch((error: unknown) => error);
    if (!(refused instanceof RequestError)) throw refused;
    expect(refused).toMatchObject({ status: 429, code: "OVERLOADED" });
    expect(refused.retryAfter).toBeGreaterThan(0);
    await release();
    await Promise.all(asked);
    expect(batcher.queuedTexts).toBe(0);
  });

  test("lets go of what nobody waits for any more", async () => {
    const { batches, run, release } = slowEngine();
    const batcher = batcherOf();
    const kind = { key: "one", run };
    const busy = [batcher.ask(kind, ["1"], never), batcher.ask(kind, ["2"], never)];
    const stop = new AbortController();
    const left = batcher.ask(kind, ["left"], stop.signal).catch((error: unknown) => error);
    const stays = batcher.ask(kind, ["stays"], never);
    stop.abort(new TypeError("gone"));
    expect(await left).toMatchObject({ message: "gone" });
    await release();
    await Promise.all([...busy, stays]);
    expect(batches.flat()).toEqual(["1", "2", "stays"]);
    expect(batcher.queuedTexts).toBe(0);
  });
});
