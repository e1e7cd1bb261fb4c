/** Every shell line of docs/serve.md is run, in its order, against the server that the page starts. */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { commandLine } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { blocksOf, readPage } from "../support/pages.ts";
import { type Spawned, spawnServer } from "../support/servers.ts";
import { optional } from "../support/shared.ts";

const run = promisify(execFile);
const shipped = optional(join(packageRoot, "models/accrete-mini/model.safetensors"));
const blocks = blocksOf(readPage("docs/serve.md"), "sh").map((block) => block.trim().split("\n"));

test.skipIf(shipped.absent)(shipped.titled("docs/serve.md: every shell line does what it says"), async () => {
  const root = await temporaryFolder();
  await mkdir(join(root, "stores"));
  const rows = (await readFile(join(packageRoot, "demo/train.jsonl"), "utf8")).trim().split("\n");
  await writeFile(join(root, "stores/travel.jsonl"), rows.slice(0, 120).join("\n"));
  await writeFile(join(root, ".curlrc"), "silent\nshow-error\nfail-with-body\n");
  const env: Record<string, string> = { CURL_HOME: root };
  let server: Spawned | undefined;
  let asked = 0;
  for (const line of blocks.flat()) {
    const words = line
      .replaceAll("stores/intents", `${root}/stores/intents`)
      .replaceAll("stores/travel", `${root}/stores/travel`)
      .replaceAll("--stores stores", `--stores ${root}/stores`);
    const url = server?.url.replace("0.0.0.0", "127.0.0.1") ?? "";
    if (line.startsWith("export ")) {
      for (const [, name = "", value = ""] of line.matchAll(/(\w+)=(\S+)/g)) env[name] = value;
    } else if (line.startsWith("accrete serve")) {
      await server?.end("SIGTERM");
      const args = words.split(" ").slice(2);
      server = await spawnServer(args, args.includes("--host") ? env : {});
    } else if (line.startsWith("accrete ")) {
      await run(process.execPath, commandLine(words.split(" ").slice(1)), { cwd: packageRoot });
    } else {
      expect(line).toMatch(/^curl '?localhost:8080\//);
      const { stdout } = await run("bash", ["-c", line.replace("localhost:8080", url)], {
        env: { ...process.env, ...env },
      });
      expect(stdout, line).not.toBe("");
      asked++;
    }
  }
  expect(asked).toBeGreaterThan(15);
  expect(await server?.end("SIGTERM")).toBe(0);
});
