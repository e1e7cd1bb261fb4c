import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { sha256 } from "../../src/io/hash.ts";
import { readSweepRecord } from "../../src/sweep/sweepFolder.ts";
import { isHeld } from "../../src/sweep/trialState.ts";
import { accrete, ask, succeed } from "../support/cli.ts";
import { furnishSweeps, runsOf, startAccrete, until } from "../support/sweeps.ts";

let root: string;
let write: (name: string, yaml: string) => Promise<string>;
let undisturbed: Record<string, string>;
const at = (...parts: readonly string[]) => join(root, "sweeps", ...parts);
const grid = "grid: { training.epochs: [1, 2] }\n";
const seeds = "seeds: [1, 2]\n";

beforeAll(async () => {
  ({ root, write } = await furnishSweeps());
  await succeed("sweep", await write("whole", grid + seeds), "--jobs", "2", "--quiet");
  const all = Object.entries(await runsOf(at("whole")));
  undisturbed = Object.fromEntries(all.filter(([name]) => name.includes("/seed-1/")));
});

test("every trial is the run that accrete run makes, and compare reads them by configuration", async () => {
  const base = join(root, "tiny.yaml");
  await succeed("run", base, "--set", "training.epochs=2", "--out", join(root, "alone"), "--quiet");
  const alone = sha256(await readFile(join(root, "alone/predictions.jsonl"), "hex"));
  expect(undisturbed["c1/seed-1/predictions.jsonl"]).toBe(alone);
  const [compared] = await ask("compare", at("whole"));
  expect(
    compared.rows.map(({ run, protocol, seeds }: Record<string, unknown>) => [run, protocol, seeds]),
  ).toEqual(
    ["c0: epochs 1", "c1: epochs 2"].flatMap((run) => [
      [run, "CIL exact", 2],
      [run, "TIL", 2],
    ]),
  );
  expect(compared.rows[0].accuracy.standardDeviation).toBeTypeOf("number");
  expect(await readFile(at("whole/comparison.html"), "utf8")).toContain("c1: epochs 2");
  // Nothing is left to watch.
  expect(await succeed("sweep", at("whole"), "--watch")).toMatch(/^whole: 4 finished\ntrial/);
});

test("killed at any moment it goes on, and no trial goes on without it", async () => {
  const path = await write("killed", grid);
  const { child, heard, ended } = startAccrete(["sweep", path, "--jobs", "2"]);
  await until(() => /done/.test(heard()), "the first trial");
  child.kill("SIGKILL");
  await ended;
  const trials = (await readSweepRecord(at("killed")))?.trials ?? [];
  await until(async () => {
    const held = await Promise.all(trials.map(({ name }) => isHeld(at("killed", name))));
    return !held.includes(true);
  }, "its children to end");
  await succeed("sweep", path, "--jobs", "2", "--resume", "--quiet");
  expect(await runsOf(at("killed"))).toEqual(undisturbed);
});

test("halving ends what does poorly on validation data, and the others are as if it was not there", async () => {
  const path = await write("halved", `${grid}halving: { after: [1], keep: 0.5 }\n`);
  await succeed("sweep", path, "--jobs", "2", "--quiet");
  const [status] = await ask("sweep", at("halved"), "--status");
  expect(status.counts).toMatchObject({ finished: 1, ended: 1, running: 0, failed: 0 });
  const rung = JSON.parse(await readFile(at("halved/rungs/after-1.json"), "utf8"));
  expect(Object.keys(rung.figures)).toEqual(["c0", "c1"]);
  const [winner] = rung.goesOn;
  expect(rung.figures[winner]).toBe(Math.max(...Object.values<number>(rung.figures)));
  const halved = await runsOf(at("halved"));
  const kept = Object.entries(undisturbed).filter(([name]) => name.startsWith(`${winner}/`));
  expect(halved).toMatchObject(Object.fromEntries(kept));
});

test("two shards are the whole", async () => {
  const path = await write("shards", grid);
  const shards = [1, 2].map((i) => accrete("sweep", path, "--shard", `${i}/2`, "--quiet"));
  expect((await Promise.all(shards)).map(({ exitCode, err }) => [exitCode, err])).toEqual([
    [0, ""],
    [0, ""],
  ]);
  expect(await runsOf(at("shards"))).toEqual(undisturbed);
});

test("a trial that fails is tried three times and reported with its log; --cancel stops, --resume goes on", async () => {
  const path = await write("poison", "grid: { training.learningRate: [1e30] }\n");
  const { exitCode, err } = await accrete("sweep", path, "--quiet");
  expect({ exitCode, err }).toMatchObject({
    exitCode: 1,
    err: expect.stringContaining("1 of 1 trials failed"),
  });
  expect(err).toMatch(/c0\/seed-1, after 3 tries: .*the loss became/);
  const [status] = await ask("sweep", path, "--status");
  expect(status.counts).toMatchObject({ finished: 0, failed: 1 });

  const going = accrete("sweep", path, "--resume");
  await until(() => isHeld(at("poison/c0/seed-1")), "the trial to begin");
  await succeed("sweep", path, "--cancel");
  expect(await going).toMatchObject({ exitCode: 1, err: expect.stringContaining("was cancelled") });
  expect((await ask("sweep", at("poison"), "--status"))[0]).toMatchObject({ cancelled: true });
});

test("what is there already is refused, each with what to do", async () => {
  const path = join(root, "whole.yaml");
  const again = await accrete("sweep", path, "--quiet");
  expect(again).toMatchObject({ exitCode: 2, err: expect.stringContaining("was begun already") });
  expect(again.err).toContain("--resume");

  const other = await write("other", `${grid}${seeds}out: sweeps/whole\n`);
  expect((await accrete("sweep", other, "--quiet")).err).toContain("holds the sweep whole, not other");

  const tiny = join(root, "tiny.yaml");
  const before = await readFile(tiny, "utf8");
  await writeFile(tiny, before.replace("batchSize: 4", "batchSize: 8"));
  const changed = await accrete("sweep", path, "--resume", "--quiet");
  await writeFile(tiny, before);
  expect(changed).toMatchObject({
    exitCode: 2,
    err: expect.stringContaining("different: training.batchSize"),
  });

  await mkdir(at("foreign"), { recursive: true });
  await writeFile(at("foreign/letter.txt"), "mine");
  const foreign = await accrete("sweep", await write("foreign", grid), "--quiet");
  expect(foreign).toMatchObject({ exitCode: 2, err: expect.stringContaining("holds letter.txt") });
});

test("a plan is printed with an estimate, and nothing is written", async () => {
  const { exitCode, out, err } = await accrete("sweep", await write("planned", grid), "--plan");
  expect({ exitCode, out }).toEqual({ exitCode: 0, out: "" });
  expect(err).toMatch(
    /2 configurations, seeds 1: 2 trials[\s\S]*about \d+ s of computing and [\d.]+ [kM]B on the disk/,
  );
  expect(await readSweepRecord(at("planned"))).toBeUndefined();
});
