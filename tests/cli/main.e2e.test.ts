import { describe, expect, test } from "vitest";
import { spawnAccrete } from "../support/cli.ts";
import { writeConfig } from "../support/runs.ts";

const typo = `
backbone: ./model
stream: { train: a.jsonl, test: b.jsonl, tasks: 2 }
training: { epoch: 3, batchSize: 0 }
out: run
`;

describe("as a process", () => {
  test("a wrong configuration: every problem, exit 2, nothing on stdout, no stack trace", async () => {
    const path = await writeConfig(typo);
    const { exitCode, out, err } = await spawnAccrete(["run", path]);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
    expect(err).toBe(
      `accrete: ${path}: 2 problems\n` +
        "  training.batchSize: expected at least 1, got 0\n" +
        "  training.epoch: expected the key epochs (did you mean it?), got the unknown key epoch\n",
    );
  });

  test("DEBUG shows the stack", async () => {
    const { err } = await spawnAccrete(["run", await writeConfig(typo)], { env: { DEBUG: "accrete" } });
    expect(err).toMatch(/\n {4}at /);
  });

  test("--help exits 0 on stdout; an unknown command exits 2 on stderr", async () => {
    const [help, unknown] = await Promise.all([spawnAccrete(["--help"]), spawnAccrete(["rnu"])]);
    expect(help).toMatchObject({ exitCode: 0, err: "" });
    expect(unknown).toMatchObject({ exitCode: 2, out: "" });
  });
});
