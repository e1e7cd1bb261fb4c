import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { callbackToAsyncGenerator } from "../../src/core/callbackToAsyncGenerator.ts";

async function drain<E, R>(generated: AsyncGenerator<E, R>): Promise<{ emitted: E[]; result: R }> {
  const emitted: E[] = [];
  while (true) {
    const next = await generated.next();
    if (next.done) return { emitted, result: next.value };
    emitted.push(next.value);
  }
}

describe("work with a callback", () => {
  it("gives what it emitted, in order, and then its result", async () => {
    const generated = callbackToAsyncGenerator<number, string>(async (emit) => {
      emit(1);
      emit(2);
      await wait(1);
      emit(3);
      return "done";
    });
    expect(await drain(generated)).toEqual({ emitted: [1, 2, 3], result: "done" });
  });

  it("gives each as it is emitted, not at the end", async () => {
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const generated = callbackToAsyncGenerator<string, void>(async (emit) => {
      emit("before");
      await gate;
    });
    expect(await generated.next()).toEqual({ value: "before", done: false });
    go();
    expect((await generated.next()).done).toBe(true);
  });

  it("fails as the work does, after what it emitted", async () => {
    const generated = callbackToAsyncGenerator<number, void>(async (emit) => {
      emit(1);
      throw new TypeError("broken");
    });
    expect((await generated.next()).value).toBe(1);
    await expect(generated.next()).rejects.toThrow("broken");
  });

  it("waits for the work where nobody listens any more", async () => {
    let over = false;
    const generated = callbackToAsyncGenerator<number, void>(async (emit) => {
      emit(1);
      await wait(5);
      over = true;
    });
    for await (const _ of generated) break;
    expect(over).toBe(true);
  });
});
