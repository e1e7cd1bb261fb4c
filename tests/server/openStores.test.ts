/** Which stores are open, and when one is closed; stores that count what is done with them stand in for real ones. */
import { describe, expect, test } from "vitest";
import { type Holding, type Hosted, OpenStores } from "../../src/server/engine/openStores.ts";
import { until } from "../support/servers.ts";

interface Fake {
  readonly opened: string[];
  readonly closed: string[];
  readonly told: Holding[];
  readonly stores: OpenStores;
  /** Of a store: what it says of its router that takes over. */
  readonly consolidated: Map<string, string>;
}

/** Every store takes 10 bytes. */
function opening(memoryBytes: number, open: (name: string) => Promise<void> = async () => {}): Fake {
  const [opened, closed, told]: [string[], string[], Holding[]] = [[], [], []];
  const consolidated = new Map<string, string>();
  const stores = new OpenStores({
    memoryBytes,
    onHolding: (holding) => told.push(holding),
    open: async (name, opening) => {
      await open(name);
      opened.push(name);
      const store = {
        status: () => ({ consolidated: consolidated.get(name) }),
        [Symbol.asyncDispose]: async () => void closed.push(name),
      };
      const hosted: unknown = { name, opening, store, bytes: 10 };
      if (!isHosted(hosted)) throw new TypeError("no store");
      return hosted;
    },
  });
  return { opened, closed, told, stores, consolidated };
}

const isHosted = (value: unknown): value is Hosted => typeof value === "object";
const ask = ({ stores }: Fake, name: string) => stores.use(name, async (hosted) => hosted.name);

/** Something that is under way until it is told to end. */
function work() {
  let end: () => void = () => {};
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { done, end };
}

describe("open stores", () => {
  test("are opened once, however many ask at once", async () => {
    const fake = opening(100);
    await Promise.all(Array.from({ length: 20 }, () => ask(fake, "a")));
    expect(fake.opened).toEqual(["a"]);
  });

  test("are looked after without being opened for it, and are asked for no later", async () => {
    const fake = opening(20);
    for (const name of ["a", "b"]) await ask(fake, name);
    const seen: string[] = [];
    for (const name of ["a", "c"]) await fake.stores.tend(name, async (hosted) => seen.push(hosted.name));
    await ask(fake, "d");
    expect({ seen, opened: fake.opened, closed: fake.closed }).toEqual({
      seen: ["a"],
      opened: ["a", "b", "d"],
      closed: ["a"],
    });
  });

  test("are closed, those that were asked for least lately first, until the rest fits", async () => {
    const fake = opening(20);
    for (const name of ["a", "b", "a", "c"]) await ask(fake, name);
    expect(fake.closed).toEqual(["b"]);
    expect(fake.told.at(-1)).toMatchObject({ open: 2, bytes: 20, closed: { store: "b", forRoom: true } });
    await ask(fake, "b");
    expect([fake.opened, fake.closed]).toEqual([
      ["a", "b", "c", "b"],
      ["b", "a"],
    ]);
  });

  test("stay while something is under way with them, and while a router is fitted", async () => {
    const fake = opening(10);
    const { done, end } = work();
    const busy = fake.stores.use("a", () => done);
    await ask(fake, "b");
    await ask(fake, "c");
    expect(fake.closed).toEqual(["b"]);
    fake.consolidated.set("c", "fitting");
    await ask(fake, "d");
    expect(fake.closed).toEqual(["b"]);
    end();
    await busy;
    expect(fake.closed).toEqual(["b", "a"]);
    fake.consolidated.set("c", "stands");
    await ask(fake, "d");
    expect(fake.closed).toEqual(["b", "a", "c"]);
  });

  test("one that is larger than all may be stays alone", async () => {
    const fake = opening(1);
    await ask(fake, "a");
    expect(fake.stores.names).toEqual(["a"]);
    await ask(fake, "b");
    expect(fake.stores.names).toEqual(["b"]);
  });

  test("grow and shrink", async () => {
    const fake = opening(25);
    await ask(fake, "a");
    await fake.stores.use("b", async (hosted) => fake.stores.resize(hosted, 20));
    expect(fake.closed).toEqual(["a"]);
    expect(fake.told.at(-1)).toMatchObject({ open: 1, bytes: 20 });
    await fake.stores.use("b", async (hosted) => fake.stores.resize(hosted, 5));
    await ask(fake, "a");
    expect(fake.told.at(-1)).toMatchObject({ open: 2, bytes: 15 });
  });

  test("one that could not be opened is tried again by the next who asks", async () => {
    let fails = true;
    const fake = opening(100, async () => {
      if (fails) throw new TypeError("damaged");
    });
    await expect(ask(fake, "a")).rejects.toThrow("damaged");
    fails = false;
    expect(await ask(fake, "a")).toBe("a");
    expect(fake.told).toMatchObject([{ open: 1, bytes: 10 }]);
  });

  test("one that leaves is opened anew by the next who asks, and closed once nothing is under way", async () => {
    const fake = opening(100);
    const { done, end } = work();
    await ask(fake, "a");
    const busy = fake.stores.use("a", async (hosted) => {
      fake.stores.leave(hosted);
      await done;
    });
    await until("it leaves", () => fake.stores.names.length === 0);
    await ask(fake, "a");
    expect(fake.opened).toEqual(["a", "a"]);
    expect(fake.closed).toEqual([]);
    end();
    await busy;
    expect(fake.closed).toEqual(["a"]);
    expect(fake.told.at(-1)).toMatchObject({ open: 1, bytes: 10, closed: { forRoom: false } });
  });

  test("all are closed at the end", async () => {
    const fake = opening(100);
    await ask(fake, "a");
    await ask(fake, "b");
    await fake.stores[Symbol.asyncDispose]();
    expect(fake.closed).toEqual(["a", "b"]);
  });
});
