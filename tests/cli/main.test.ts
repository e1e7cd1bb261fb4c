import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { beginRun, openRunFolder } from "../../src/experiment/runFolder.ts";
import { accrete } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { header } from "../support/records.ts";
import { configAt, writeConfig } from "../support/runs.ts";
import { adapterTask } from "../support/states.ts";

describe("run", () => {
  test("refuses a folder that is not empty with exit 2, and names the ways out", async () => {
    const path = await writeConfig("backbone: ./m\nstream: { train: a, test: b, tasks: 2 }\nout: run\n");
    const out = await temporaryFolder();
    await writeFile(join(out, "thesis.tex"), "");
    const { exitCode, err } = await accrete("run", path, "--out", out);
    expect(exitCode).toBe(2);
    expect(err).toContain(`out = ${JSON.stringify(out)} (--out; the file says "run")\n`);
    expect(err).toContain(`accrete: ${out}: exists and is not empty\n  Continue that run with --resume`);
    expect(await readdir(out)).toEqual(["thesis.tex"]);
  });

  test("with --seeds too", async () => {
    const path = await writeConfig("backbone: ./m\nstream: { train: a, test: b, tasks: 2 }\nout: run\n");
    const out = await temporaryFolder();
    await writeFile(join(out, "thesis.tex"), "");
    const { exitCode, err } = await accrete("run", path, "--out", out, "--seeds", "1,2");
    expect(exitCode).toBe(2);
    expect(err).toContain("exists and is not empty");
  });

  test("a missing configuration exits 2", async () => {
    const { exitCode, err } = await accrete("run", "nowhere.yaml");
    expect(exitCode).toBe(2);
    expect(err).toContain("nowhere.yaml: cannot be read");
  });
});

describe("other folders", () => {
  test.each(["report", "predict", "inspect"])("%s of a folder without a run exits 2", async (command) => {
    const folder = await temporaryFolder();
    const { exitCode, out } = await accrete(command, folder, ...(command === "predict" ? ["a text"] : []));
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
  });

  test("inspect of a run lists its tasks and checks its files", async () => {
    const config = configAt(await temporaryFolder());
    {
      await using workspace = (await openRunFolder(config, {})).workspace;
      await beginRun(workspace, config, { ...header, seed: config.seed });
      await workspace.commit({ tasks: [adapterTask("Travel")] });
    }
    const { exitCode, out } = await accrete("inspect", config.out);
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^Travel +3 +adapters\/travel +[0-9a-f]{12}$/m);
    await writeFile(join(config.out, "adapters/travel/adapter_config.json"), "{ }");
    const damaged = await accrete("inspect", config.out, "--json");
    expect(damaged).toMatchObject({ exitCode: 2, out: "" });
    expect(damaged.err).toContain("is damaged");
  });

  test("demo replaces an earlier run only", async () => {
    const { clearEarlierRun } = await import("../../src/cli/commands/demo.ts");
    const folder = await temporaryFolder();
    await writeFile(join(folder, "manifest.json"), "{}");
    await writeFile(join(folder, "index.html"), "");
    await expect(clearEarlierRun(folder)).rejects.toThrow(/index\.html/);
    expect(await readdir(folder)).toEqual(["index.html", "manifest.json"]);

    const bare = await temporaryFolder();
    await mkdir(join(bare, "adapters"));
    await expect(clearEarlierRun(bare)).rejects.toThrow(/not only an earlier run/);
    expect(await readdir(bare)).toEqual(["adapters"]);

    const config = configAt(await temporaryFolder());
    {
      await using workspace = (await openRunFolder(config, {})).workspace;
      await beginRun(workspace, config, { ...header, seed: config.seed });
      await expect(clearEarlierRun(config.out)).rejects.toThrow(/is being written/);
    }
    await clearEarlierRun(config.out);
    expect(await readdir(config.out)).toEqual([]);
    await clearEarlierRun(join(config.out, "never-was"));
  });
});
