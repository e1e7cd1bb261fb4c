/** Checking, repairing and copying folders of states. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { backupFolder } from "../../src/workspace/backup.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { manifestFile } from "../../src/workspace/manifest.ts";
import {
  keptVersions,
  readSettings,
  readState,
  readStore,
  readVersion,
} from "../../src/workspace/reading.ts";
import { repairFolder } from "../../src/workspace/repair.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { bytesBelow } from "../support/folders.ts";
import { adapterTask, anyModel, statisticsTask } from "../support/states.ts";
import { addTask, begunStore, namesIn } from "../support/workspaces.ts";

const statistics = "statistics.safetensors";

async function flipByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 3]! ^= 0x10;
  await writeFile(path, bytes);
}

/** A store with an adapter that has statistics, and two tasks of statistics. */
async function threeTasks(): Promise<string> {
  const folder = await begunStore();
  {
    await using workspace = await Workspace.open(folder);
    const { rows } = statisticsTask("first", adapterTask("first").labels);
    await workspace.commit({ tasks: [{ ...adapterTask("first"), ...(rows && { rows }) }] }, "learned first");
  }
  for (const name of ["two", "three"]) await addTask(folder, name);
  return folder;
}

describe("checking", () => {
  test("a whole store has no problems, and nothing is written", async () => {
    const folder = await threeTasks();
    const before = await bytesBelow(folder);
    expect(await checkFolder(folder)).toMatchObject({ version: 4, files: 7, problems: [], leftovers: [] });
    expect(await bytesBelow(folder)).toEqual(before);
  });

  test("names every damaged file, with the versions that have it", async () => {
    const folder = await threeTasks();
    await flipByte(join(folder, "adapters", "two", statistics));
    await rm(join(folder, "adapters", "first", "accrete.json"));
    await writeFile(join(folder, "versions", "000002.json"), "{");
    await writeFile(join(folder, "events.jsonl"), '{"a":1}\n{torn\n{"b":2}\n{"half');
    expect((await checkFolder(folder)).problems).toEqual([
      { path: "versions/000002.json", problem: expect.stringMatching(/not valid JSON/), versions: [2] },
      {
        path: "adapters/first/accrete.json",
        problem: expect.stringMatching(/cannot be read/),
        versions: [4, 3],
      },
      {
        path: `adapters/two/${statistics}`,
        problem: expect.stringMatching(/SHA-256/),
        versions: [4, 3],
      },
      { path: "events.jsonl", problem: "line 2 is not JSON", versions: [] },
    ]);
  });

  test("settings that were changed are told, and refused when they are read", async () => {
    const folder = await begunStore("backbone: here\n");
    const manifest = await readStore(folder);
    expect((await checkFolder(folder)).problems).toEqual([]);
    await writeFile(join(folder, "config.resolved.yaml"), "backbone: there\n");
    expect((await checkFolder(folder)).problems).toEqual([
      { path: "config.resolved.yaml", problem: expect.stringMatching(/was changed/), versions: [] },
    ]);
    await expect(readSettings(folder, manifest)).rejects.toThrow(/config\.resolved\.yaml: was changed since/);
    expect(await repairFolder(folder)).toMatchObject({
      done: ["config.resolved.yaml is taken as it is now"],
      left: { problems: [] },
    });
  });

  test("what is neither store nor run is refused", async () => {
    const folder = await begunStore();
    await expect(checkFolder(join(folder, "nowhere"))).rejects.toThrow(/no run there/);
  });
});

describe("repairing", () => {
  test("a whole store stays as it is", async () => {
    const folder = await threeTasks();
    const before = await bytesBelow(folder);
    expect(await repairFolder(folder)).toMatchObject({ done: [], lost: [] });
    expect(await bytesBelow(folder)).toEqual(before);
  });

  test("a damaged manifest: the newest whole version is the present one, under a new number", async () => {
    const folder = await threeTasks();
    await writeFile(join(folder, manifestFile), "{ torn");
    const { done, lost, left } = await repairFolder(folder);
    expect(done[0]).toBe("put aside: manifest.json is manifest.json.damaged now");
    expect(done[1]).toBe("version 5 holds what version 3 held");
    expect(lost).toEqual(["version 4, and whatever it had learned or forgotten since version 3"]);
    expect(left.problems).toEqual([]);
    expect(await readFile(join(folder, "manifest.json.damaged"), "utf8")).toBe("{ torn");
    expect(await namesIn(folder)).toEqual(["first", "two"]);
    await addTask(folder, "next");
    expect((await readStore(folder)).store).toMatchObject({ version: 6, parent: 5 });
    await readVersion(folder, 5);
  });

  test("a damaged task goes, the others stay; statistics alone go without their adapter", async () => {
    const folder = await threeTasks();
    await flipByte(join(folder, "adapters", "first", statistics));
    await flipByte(join(folder, "adapters", "two", statistics));
    const { lost } = await repairFolder(folder);
    expect(lost).toEqual([
      expect.stringMatching(/^task first: adapters\/first\/statistics\.safetensors is damaged/),
      expect.stringMatching(/^task two: adapters\/two\/statistics\.safetensors is damaged/),
    ]);
    expect(await namesIn(folder)).toEqual(["first", "three"]);
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    expect(tasks[0]).toMatchObject({ name: "first", saved: expect.anything() });
    expect(tasks[0]).not.toHaveProperty("rows");
    expect((await readStore(folder)).store).toMatchObject({ version: 5, parent: 4 });
  });

  test("an earlier version that cannot be read is put aside, and leftovers are removed", async () => {
    const folder = await threeTasks();
    await writeFile(join(folder, "versions", "000002.json"), "{ torn");
    await writeFile(join(folder, `.tmp-${manifestFile}-12-0123abcd`), "");
    const { done, lost } = await repairFolder(folder);
    expect(lost).toEqual(["version 2: its manifest cannot be read"]);
    expect(done.at(-1)).toMatch(/removed what an interrupted change had left: \.tmp-manifest/);
    expect(await keptVersions(folder)).toEqual([1, 3]);
    expect(await readdir(join(folder, "versions"))).toContain("000002.json.damaged");
  });

  test("where nothing is whole it says so and changes nothing", async () => {
    const folder = await begunStore("backbone: here\n");
    await writeFile(join(folder, manifestFile), "{ torn");
    await expect(repairFolder(folder)).rejects.toThrow(/not valid JSON, and no earlier version is whole/);
    expect(await readFile(join(folder, manifestFile), "utf8")).toBe("{ torn");
  });
});

describe("a backup", () => {
  test("is the store with its versions, and goes on learning", async () => {
    const folder = await threeTasks();
    await writeFile(join(folder, "notes.txt"), "somebody's");
    const to = join(folder, "..", `${folder.split("/").at(-1)}-backup`);
    try {
      expect(await backupFolder(folder, to)).toMatchObject({ version: 4, files: 15 });
      const kept = (files: Record<string, string>) =>
        Object.fromEntries(Object.entries(files).filter(([name]) => name !== "notes.txt"));
      const [ours, copied] = [kept(await bytesBelow(folder)), await bytesBelow(to)];
      expect(Object.keys(copied).sort()).toEqual(Object.keys(ours).sort());
      for (const [name, bytes] of Object.entries(copied)) expect(bytes === ours[name], name).toBe(true);
      await addTask(to, "more");
      expect(await checkFolder(to)).toMatchObject({ version: 5, problems: [] });
      await expect(backupFolder(folder, to)).rejects.toMatchObject({ code: "NAME_TAKEN" });
    } finally {
      await rm(to, { recursive: true, force: true });
    }
  });

  test("made while the store changes and is purged is one of its versions", async () => {
    const folder = await begunStore("backbone: here\n");
    await addTask(folder, "t0");
    const to = (n: number) => `${folder}-copy-${n}`;
    let changing = true;
    const changes = (async () => {
      for (let n = 1; n <= 12; n++) {
        await using workspace = await Workspace.open(folder);
        await workspace.commit({ tasks: [statisticsTask(`t${n}`)] }, `t${n}`);
        await workspace.purge();
      }
      changing = false;
    })();
    let copies = 0;
    for (; changing; copies++) {
      // So many changes in a row may overtake a copy; then it is not there.
      const copied = await backupFolder(folder, to(copies)).catch(() => undefined);
      if (copied === undefined) await expect(readdir(to(copies))).rejects.toThrow();
      else expect(await checkFolder(to(copies))).toMatchObject({ version: copied.version, problems: [] });
      await rm(to(copies), { recursive: true, force: true });
    }
    await changes;
    expect(copies).toBeGreaterThan(0);
  });
});
