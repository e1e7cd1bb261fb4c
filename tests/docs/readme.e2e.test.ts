import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { type Ended, heardOf } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { optional } from "../support/shared.ts";
import { writeTinyModel } from "../support/tinyModels.ts";

const exampleOf = (name: string) => join(packageRoot, "examples", `${name}.ts`);
const shipped = optional(join(packageRoot, "models/accrete-mini/model.safetensors"));

/** Runs the example as its own process; its backbone is the one under `cwd`, or else the one that ships. */
function runExample(cwd: string, name = "two-tasks"): Promise<Ended> {
  const tsx = createRequire(import.meta.url).resolve("tsx");
  const env = { ...process.env, TSX_TSCONFIG_PATH: join(packageRoot, "tsconfig.json"), NO_COLOR: "1" };
  return heardOf(spawn(process.execPath, ["--import", tsx, exampleOf(name)], { cwd, env }));
}

test("the example runs on any BERT: two tasks learned, one answer", async () => {
  const folder = await temporaryFolder();
  await writeTinyModel(join(folder, "accrete-mini"));
  const { exitCode, out, err } = await runExample(folder);
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
  expect(out).toMatch(/text: 'a flight to Berlin tomorrow',\n\s+label: '\w+',\n\s+score: 0\.\d+,/);
  // A router answers, in one pass.
  expect(out).toContain("passes: 1");
});

test.skipIf(shipped.absent)(
  shipped.titled("the example gives the right answer with the model that ships, in any folder"),
  async () => {
    const { exitCode, out, err } = await runExample(await temporaryFolder());
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
    expect(out).toMatch(/label: 'book_flight',\n.*\n\s+task: 'travel'/);
  },
);

test.skipIf(shipped.absent)(
  shipped.titled("the README's store learns three classes, answers right, and takes back its last change"),
  async () => {
    const folder = await temporaryFolder();
    for (const version of [5, 10]) {
      const { exitCode, out, err } = await runExample(folder, "store");
      expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
      expect(out).toMatch(/label: 'book_flight'/);
      expect(out).toContain(`version ${version}`);
    }
  },
);
