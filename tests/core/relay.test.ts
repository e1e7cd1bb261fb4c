import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { relay } from "../../src/core/callbackToAsyncGenerator.ts";

async function drain<E, R>(relayed: AsyncGenerator<E, R>): Promise<{ told: E[]; result: R }> {
  const told: E[] = [];
  while (true) {
    const next = await relayed.next();
    if (next.done) return { told, result: next.value };
    told.push(next.value);
  }
}

describe("relayed work", () => {
  it("gives what it told, in order, and then its result", async () => {
    const relayed = relay<number, string>(async (tell) => {
      tell(1);
      tell(2);
      await wait(1);
      tell(3);
      return "done";
    });
    expect(await drain(relayed)).toEqual({ told: [1, 2, 3], result: "done" });
  });

  it("gives each as it is told, not at the end", async () => {
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const relayed = relay<string, void>(async (tell) => {
      tell("before");
      await gate;
    });
    expect(await relayed.next()).toEqual({ value: "before", done: false });
    go();
    expect((await relayed.next()).done).toBe(true);
  });

  it("fails as the work does, after what it told", async () => {
    const relayed = relay<number, void>(async (tell) => {
      tell(1);
      throw new TypeError("broken");
    });
    expect((await relayed.next()).value).toBe(1);
    await expect(relayed.next()).rejects.toThrow("broken");
  });

  it("waits for the work where nobody listens any more", async () => {
    let over = false;
    const relayed = relay<number, void>(async (tell) => {
      tell(1);
      await wait(5);
      over = true;
    });
    for await (const _ of relayed) break;
    expect(over).toBe(true);
  });
});
