import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { accrete, ask, commandLine } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { furnish } from "../support/stores.ts";

test("a writer that is killed leaves the version before, and its lock to the next writer", async () => {
  const folder = await temporaryFolder();
  const at = await furnish(folder);
  const store = at("store");
  await ask(
    "init",
    store,
    "--backbone",
    at("model"),
    "--set",
    "training.epochs=100000",
    "--set",
    "threads=1",
  );
  const words = ["learn", store, "--task", "one", at("aabb.jsonl")];
  const child = spawn(process.execPath, commandLine(words), {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "close");
  for await (const chunk of child.stderr) if (String(chunk).includes("epoch 3")) child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
  const [info] = await ask("ls", store);
  expect([info.version, info.tasks]).toEqual([1, []]);
  const again = await accrete("learn", store, "--task", "two", at("ccdd.jsonl"), "--statistics-only");
  expect(again.exitCode).toBe(0);
  expect(again.err).toContain(`note: broke the lock that process ${child.pid} on`);
});
