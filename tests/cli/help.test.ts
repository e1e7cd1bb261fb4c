import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { accrete } from "../support/cli.ts";

const commands = [
  [],
  ["run"],
  ["report"],
  ["sweep"],
  ["worker"],
  ["compare"],
  ["predict"],
  ["evaluate"],
  ["errors"],
  ["generate"],
  ["init"],
  ["learn"],
  ["forget"],
  ["merge"],
  ["ls"],
  ["rollback"],
  ["check"],
  ["repair"],
  ["backup"],
  ["push"],
  ["pull"],
  ["export"],
  ["gc"],
  ["serve"],
  ["prepare"],
  ["inspect"],
  ["inspect", "graph"],
  ["doctor"],
  ["demo"],
];

test.each(commands.map((words) => ({ words, title: ["accrete", ...words].join(" ") })))(
  "$title --help",
  async ({ words }) => {
    const { exitCode, out, err } = await accrete(...words, "--help");
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
    expect(out).toMatchSnapshot();
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  },
);

test("--version is the package's", async () => {
  const json: unknown = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));
  expect(json).toMatchObject({ version: (await accrete("--version")).out.trim() });
});

describe("bad usage exits 2 and says what was meant", () => {
  test.each([
    [["rnu"], "(Did you mean run?)"],
    [["run", "x.yaml", "--resmue"], "(Did you mean --resume?)"],
    [["run"], "missing required argument 'config'"],
    [["run", "x.yaml", "y.yaml"], "too many arguments"],
    [["run", "--cfg", "no-such-file.yaml", "--lr", "1e-4"], "no-such-file.yaml: cannot be read"],
    [["report", "a", "b"], "too many arguments"],
    [["report", "a", "--html", "--json"], "cannot be used with option"],
    [["predict", "run", "text", "--top", "0"], "at least 1"],
    [["predict", "run", "text", "--file", "f"], "texts and --file at once"],
    [["inspect", "graph", "m", "--phase", "trian"], "Allowed choices are train, features"],
    [["prepare", "clinc", "--from", "a", "--to", "b"], "Allowed choices are clinc150, banking77"],
    [["prepare", "clinc150", "--to", "b"], "required option '--from <folder>' not specified"],
    [["run", "x.yaml", "--set", "epochs"], "expected key=value"],
    [["run", "x.yaml", "--seeds", "1,two"], "expected whole numbers"],
    [["run", "x.yaml", "--seeds", "1,1"], "the same seed twice"],
    [["worker", "--artefacts", "a"], "no queue is given"],
    [["worker", "--queue", "redis://localhost"], "--artefacts is missing"],
    [["sweep", "x.yaml"], "x.yaml: cannot be read"],
    [["sweep", "x.yaml", "--status", "--watch"], "exclude each other"],
    [["run", "x.yaml", "--at", "backbone"], "expected key=path"],
    [[], "Usage: accrete"],
  ])("accrete %j", async (args, message) => {
    const { exitCode, out, err } = await accrete(...args);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
    expect(err).toContain(message);
  });
});
