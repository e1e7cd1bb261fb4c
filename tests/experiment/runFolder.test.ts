import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { ResolvedConfig } from "../../src/config/schema.ts";
import { findTask } from "../../src/continual/answers.ts";
import { CheckpointError, ConfigError, StoreError } from "../../src/core/errors.ts";
import { beginRun, openRunFolder } from "../../src/experiment/runFolder.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { encodePeftFolder } from "../../src/peft/checkpoint.ts";
import { markOf } from "../../src/workspace/listing.ts";
import { readManifest } from "../../src/workspace/manifest.ts";
import { readState, readStore, verifiedTaskFolder } from "../../src/workspace/reading.ts";
import type { Workspace } from "../../src/workspace/workspace.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";
import { header as described } from "../support/records.ts";
import { configAt } from "../support/runs.ts";
import { adapterTask, anyModel, sha256Of } from "../support/states.ts";

const header = { ...described, seed: 1 };
const travel = adapterTask("Travel & more");
const files = encodePeftFolder(travel.saved ?? expect.unreachable());
const weights = "adapter_model.safetensors";

async function create(config: ResolvedConfig): Promise<Workspace> {
  return (await openRunFolder(config, {})).workspace;
}

function resume(config: ResolvedConfig) {
  return openRunFolder(config, { resume: true });
}

function finished(workspace: Workspace) {
  return workspace.manifest?.tasks.map(({ name }) => name);
}

/** A run with one task, its lock released. */
async function runWithOneTask(folder: string) {
  const config = configAt(folder);
  await using run = await create(config);
  await beginRun(run, config, header);
  await run.commit({ tasks: [travel] });
  return config;
}

describe("a new run", () => {
  test("writes its resolved configuration, and a manifest that names everything by id and hash", async () => {
    const folder = await temporaryFolder();
    const config = await runWithOneTask(folder);
    expect((await loadConfig(join(config.out, "config.resolved.yaml"))).config).toEqual(config);
    const manifest = await readManifest(config.out);
    const names = ["accrete.json", "adapter_config.json", weights, "head.safetensors"];
    const hashes = Object.fromEntries(names.map((name) => [name, sha256Of(files.get(name) ?? "")]));
    expect(manifest).toMatchObject(header);
    expect(manifest?.tasks).toEqual([
      {
        name: travel.name,
        labels: travel.labels,
        slug: "travel-more",
        adapter: { folder: "adapters/travel-more", id: sha256Of(JSON.stringify(hashes)), files: hashes },
      },
    ]);
    expect((await readdir(config.out)).sort()).toEqual(["adapters", "config.resolved.yaml", "manifest.json"]);
  });

  test("refuses a folder that holds something, and leaves it as it was", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "run"));
    await writeFile(join(folder, "run", "thesis.tex"), "years of work");
    await expect(create(configAt(folder))).rejects.toMatchObject({ exitCode: 2, code: "STORE" });
    expect(await readdir(join(folder, "run"))).toEqual(["thesis.tex"]);
  });

  test("takes an empty folder, and one with only the lock of a dead writer, which it breaks", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    await mkdir(config.out);
    const { pid } = deadOwner();
    await writeFile(join(config.out, "lock.json"), JSON.stringify(deadOwner()));
    await using run = await create(config);
    expect(run.brokenLock).toMatchObject({ pid });
  });

  test("two runs in one folder: the second is refused, the first goes on", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    await using run = await create(config);
    await expect(create(config)).rejects.toMatchObject({ exitCode: 2 });
    await expect(resume(config)).rejects.toThrow(/is being written by process \d+/);
    await beginRun(run, config, header);
    await run.commit({ tasks: [travel] });
    expect(finished(run)).toEqual([travel.name]);
  });

  test("a file in place of the folder is refused", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "run"), "");
    await expect(create(configAt(folder))).rejects.toThrow(StoreError);
  });
});

describe("resume", () => {
  test("starts where nothing was begun", async () => {
    const { workspace, resumed } = await resume(configAt(await temporaryFolder()));
    await using _ = workspace;
    expect(resumed).toBe(false);
  });

  test("keeps what the manifest names, and removes what an interruption left", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    await writeFolderAtomic(join(config.out, "adapters", "music"), new Map([markOf("adapters/music")]));
    await mkdir(join(config.out, "adapters", "my-backup"));
    await mkdir(join(config.out, "adapters", ".tmp-music-1-0123abcd"));
    await writeFile(join(config.out, ".tmp-manifest.json-1-0123abcd"), "");
    const { workspace, resumed } = await resume(config);
    await using run = workspace;
    expect(resumed).toBe(true);
    expect(finished(run)).toEqual([travel.name]);
    expect(await readdir(join(config.out, "adapters"))).toEqual(["my-backup", "travel-more"]);
    expect((await readdir(config.out)).filter((name) => name.startsWith(".tmp"))).toEqual([]);
    await beginRun(run, config, header);
    const { tasks } = await readState(run.path, run.manifest ?? expect.unreachable(), anyModel);
    await run.commit({ tasks: [...tasks, adapterTask("music")] });
    expect((await readManifest(config.out))?.tasks.map((task) => task.slug)).toEqual([
      "travel-more",
      "music",
    ]);
  });

  test("with another configuration is refused, naming what differs; another out is not", async () => {
    const folder = await temporaryFolder();
    const { out } = await runWithOneTask(folder);
    const other = configAt(folder, { seed: 2, training: { epochs: 9 } });
    await expect(resume(other)).rejects.toThrow(ConfigError);
    await expect(resume(other)).rejects.toThrow(/different: seed, training\.epochs$/);
    const { workspace, resumed } = await resume(configAt(folder, { out: `${out}/../run` }));
    await using _ = workspace;
    expect(resumed).toBe(true);
  });

  test("with another backbone, tokenizer, pooling or data is refused", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const { workspace } = await resume(config);
    await using run = workspace;
    const changed = "d".repeat(64);
    const { backbone, versions } = header;
    for (const [other, message] of [
      [{ dataHash: changed }, /the data changed/],
      [{ backbone: { ...backbone, hash: changed } }, /the backbone changed/],
      [{ backbone: { ...backbone, tokenizerHash: changed } }, /the tokenizer changed/],
      [{ feature: { pooling: "cls", normalize: false } }, /the pooling changed/],
    ] as const)
      await expect(beginRun(run, config, { ...header, ...other })).rejects.toThrow(message);
    await beginRun(run, config, { ...header, versions: { ...versions, node: "99.0.0" } });
  });

  test("of a folder that is no run is refused, and nothing in it is touched", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "run", "adapters", "mine"), { recursive: true });
    await expect(resume(configAt(folder))).rejects.toThrow(/not the folder of a run/);
    expect(await readdir(join(folder, "run"))).toEqual(["adapters"]);
    expect(await readdir(join(folder, "run", "adapters"))).toEqual(["mine"]);
  });

  test.each([
    ["{ torn", /not valid JSON/],
    ['{"schemaVersion": 1}', /not a manifest of this version/],
    ['{"schemaVersion": 3}', /written by a later version of Accrete: schema 3, this one reads up to 2/],
  ])("of a damaged manifest is refused: %s", async (text, message) => {
    const config = await runWithOneTask(await temporaryFolder());
    await writeFile(join(config.out, "manifest.json"), text);
    await expect(resume(config)).rejects.toThrow(message);
    await writeFile(join(config.out, "manifest.json"), text);
    // The refusal gave the lock back.
    await expect(resume(config)).rejects.toThrow(message);
  });
});

describe("reading", () => {
  test("finds a task by its true name, and its checked folder", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const { tasks } = await readStore(config.out);
    const folder = await verifiedTaskFolder(config.out, findTask(tasks, "Travel & more"), "");
    expect(await readFile(join(folder, weights))).toEqual(Buffer.from(files.get(weights) ?? []));
    expect(() => findTask(tasks, "music")).toThrow(ConfigError);
  });

  test("says which file is damaged or missing", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const manifest = await readStore(config.out);
    const read = () => readState(config.out, manifest, anyModel);
    const path = join(config.out, "adapters/travel-more", weights);
    await writeFile(path, "weightz");
    await expect(read()).rejects.toThrow(CheckpointError);
    await expect(read()).rejects.toThrow(/adapter_model\.safetensors: .* is damaged/);
    await rm(path);
    await expect(read()).rejects.toThrow(/adapter_model\.safetensors: .* is missing/);
  });

  test("a manifest cannot point out of its folder", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const path = join(config.out, "manifest.json");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace("adapters/travel-more", "adapters/../../secret"));
    await expect(readStore(config.out)).rejects.toThrow(/tasks\.0\.adapter\.folder/);
  });

  test("of a folder without a run is refused", async () => {
    await expect(readStore(await temporaryFolder())).rejects.toThrow(/no run there, and no store/);
  });
});
