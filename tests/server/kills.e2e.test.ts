/**
 * SIGKILL to a server while classes are taught and forgotten and texts are asked: what was acknowledged is there after it was
 * started again, and no answer is wrong. ACCRETE_ATTACK=1 kills it twenty times.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { openStore } from "../../src/store/store.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { type Spawned, spawnServer, writeStores } from "../support/servers.ts";

const kills = process.env.ACCRETE_ATTACK === "1" ? 20 : 4;
const classes = Array.from({ length: 50 }, (_, i) => `class-${i}`);
const textsOf = (label: string) => ["one", "two", "three"].map((word) => `${word} ${label} ${word}`);

interface Step {
  readonly kind: "learn" | "forget";
  readonly label: string;
}

/** Fifty classes are taught, and every fifth of them is forgotten a little later. */
const steps: readonly Step[] = classes.flatMap((label, i) => [
  { kind: "learn" as const, label },
  ...(i % 5 === 4 ? [{ kind: "forget" as const, label: `class-${i - 2}` }] : []),
]);

test(`${kills} kills while 50 classes are taught and 10 forgotten`, async () => {
  const root = await writeStores({ intents: [] });
  const folder = `${root}/intents`;
  let server: Spawned = await spawnServer([folder]);
  const known = new Set<string>();
  /** Since when a class is not to be named any more, by its last acknowledged forgetting. */
  const forgotten = new Map<string, number>();
  const wrong: string[] = [];
  let answered = 0;
  let done = false;

  async function asking(): Promise<void> {
    for (let i = 0; !done; i++) {
      const begun = performance.now();
      const text = textsOf(classes[i % classes.length] ?? "")[i % 3];
      const answer = await server.ask("POST", "/predict", { inputs: text }).catch(() => undefined);
      if (answer?.status === 200) {
        answered++;
        for (const { label } of answer.body)
          if (!classes.includes(label) || (forgotten.get(label) ?? Number.POSITIVE_INFINITY) < begun)
            wrong.push(`${label} for ${text}`);
      }
      await sleep(5);
    }
  }

  /** Whether a step's change is made, as the store says. */
  async function isMade({ kind, label }: Step): Promise<boolean> {
    const { body } = await server.ask("GET", "/stores/intents/status");
    return body.classes.includes(label) === (kind === "learn");
  }

  const asked = asking();
  const last = steps.length - 1;
  const killAt = new Set(Array.from({ length: kills }, (_, n) => Math.floor(((n + 0.5) * last) / kills)));
  for (const [at, step] of steps.entries()) {
    const { kind, label } = step;
    const body = kind === "learn" ? { class: label, texts: textsOf(label) } : { class: label };
    const change = server.ask("POST", `/stores/intents/${kind}`, body).catch(() => undefined);
    if (killAt.has(at)) {
      await sleep(Math.random() * 250);
      expect(await server.end("SIGKILL")).toBeNull();
      const acknowledged = (await change)?.status === 200;
      expect((await checkFolder(folder)).problems).toEqual([]);
      server = await spawnServer([folder]);
      const { body: status } = await server.ask("GET", "/stores/intents/status");
      // Every change that was acknowledged is there, and nothing but what was asked for.
      const others = new Set(status.classes.filter((each: string) => each !== label));
      expect(others).toEqual(new Set([...known].filter((each) => each !== label)));
      if (acknowledged) expect(await isMade(step)).toBe(true);
      if (!(await isMade(step)))
        expect((await server.ask("POST", `/stores/intents/${kind}`, body)).status).toBe(200);
      await using store = await openStore(folder, { background: false });
      if (store.classes.length > 0) {
        const texts = textsOf(label);
        const { body: served } = await server.ask("POST", "/stores/intents/predict", { texts });
        expect(served.predictions).toEqual(JSON.parse(JSON.stringify(await store.predict(texts))));
      }
    } else expect((await change)?.status).toBe(200);
    if (kind === "learn") known.add(label);
    else {
      known.delete(label);
      forgotten.set(label, performance.now());
    }
  }
  done = true;
  await asked;
  expect(wrong).toEqual([]);
  expect(answered).toBeGreaterThan(50);
  expect(new Set((await server.ask("GET", "/stores/intents/status")).body.classes)).toEqual(known);
  expect(known.size).toBe(40);
  expect(await server.end("SIGTERM")).toBe(0);
});
