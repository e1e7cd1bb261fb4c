import { expect, test } from "vitest";
import { accrete } from "../support/cli.ts";

test("doctor runs a session and says what the machine has", async () => {
  const { exitCode, out } = await accrete("doctor", "--json");
  const report: unknown = JSON.parse(out);
  expect(exitCode).toBe(0);
  expect(report).toMatchObject({ ok: true });
  expect(out).toContain("a session runs");
});
