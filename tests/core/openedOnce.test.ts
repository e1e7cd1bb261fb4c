import { expect, it } from "vitest";
import { OpenedOnce } from "../../src/core/openedOnce.ts";

function counted(failures = 0) {
  const counts = { opened: 0, closed: 0 };
  const once = new OpenedOnce(async () => {
    await Promise.resolve();
    if (failures-- > 0) throw new RangeError("no room");
    counts.opened += 1;
    return {
      [Symbol.asyncDispose]: () => {
        counts.closed += 1;
        return Promise.resolve();
      },
    };
  });
  return { counts, once };
}

it("opens one for all who ask, and closes it", async () => {
  const { counts, once } = counted();
  const [a, b] = await Promise.all([once.get(), once.get()]);
  expect(a).toBe(b);
  expect(await once.get()).toBe(a);
  await once[Symbol.asyncDispose]();
  await once[Symbol.asyncDispose]();
  expect(counts).toEqual({ opened: 1, closed: 1 });
});

it("tells a failure to all who wait, and tries anew for the next", async () => {
  const { counts, once } = counted(1);
  const asked = await Promise.allSettled([once.get(), once.get()]);
  expect(asked.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await once.get();
  expect(counts.opened).toBe(1);
  await once[Symbol.asyncDispose]();
});
