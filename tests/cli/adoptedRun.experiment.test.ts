import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { succeed } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

test("a run that goes on learning is marked as such in its reports, and what stays of its record is told", async () => {
  const folder = await temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "caches"));
  const experiment = await writeTinyExperiment(folder);
  const run = join(folder, "run");
  const quick = ["--set", "training.epochs=1", "--set", "router=lda", "--quiet"];
  for (const name of ["run", "other"])
    await succeed("run", experiment, "--out", join(folder, name), ...quick);
  expect(await succeed("report", run)).not.toMatch(/is a store by now/);

  const record = (await readdir(run)).filter((name) =>
    /^(config|events|metrics|predictions|report|\w+_matrix)/.test(name),
  );
  expect(await succeed("forget", run, "--class", "aa")).toBe(
    `${[
      "version 2: forgot 1 class (aa), 44 feature rows",
      "adapters that saw it in training and stay, without a slot for it: task-0",
      `the experiment's own record, which stays and may name it: ${record.sort().join(", ")}`,
      "kept and still holding it, for rollback: versions 1; --purge deletes them",
    ].join("\n")}\n`,
  );
  expect(await readdir(join(run, "router"))).toEqual(["000002"]);
  expect(await succeed("forget", run, "--purge")).toBe(
    "version 2: deleted the versions before it, and what they alone held: 1\n" +
      `the experiment's own record, which stays and may name it: ${record.join(", ")}\n`,
  );
  expect(await readdir(join(run, "adapters"))).not.toContain("task-0");
  expect(JSON.parse(await succeed("forget", run, "--purge", "--json"))).toMatchObject({
    deletedVersions: [],
  });

  const note = /store by now, at version 2: the figures are those of the run, before it learned or forgot/;
  expect((await succeed("report", run)).replace(/\s+/g, " ")).toMatch(note);
  expect(JSON.parse(await succeed("report", run, "--json")).warnings.at(-1)).toMatch(
    /^The folder is a store/,
  );
  await succeed("report", run, "--html");
  expect(await readFile(join(run, "report.html"), "utf8")).toMatch(note);
  const page = join(folder, "page.html");
  expect(await succeed("compare", join(folder, "other"), run, "--html", page)).toMatch(
    /! run is a store by now, /,
  );
  expect(await readFile(page, "utf8")).toMatch(note);
});
