/** The page as the commands serve it. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { builtPage } from "../../src/server/api/pageRoutes.ts";
import { describeStore } from "../../src/store/info.ts";
import { buildPage } from "../../tools/page/build.ts";
import { commandLine } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { pageTests } from "../support/pageFlows.ts";
import { askerOf, spawnServer, until } from "../support/servers.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

beforeAll(async () => {
  if (!existsSync(builtPage)) await buildPage(builtPage);
});

describe.skipIf(pageTests.absent)(pageTests.titled("the commands"), () => {
  test("accrete serve begins a store that is not there, and says where the page is", async () => {
    const folder = join(await temporaryFolder(), "demo-store");
    const server = await spawnServer([folder]);
    await until("it has said where", () => server.said().includes("Open "));
    expect(server.said()).toMatch(/demo-store was not there: began an empty store on accrete-mini\.\n/);
    expect(server.said()).toContain(`Open ${server.url}/ in a browser. Ctrl-C stops the server.`);
    const page = await server.ask("GET", "/");
    expect(page.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
    expect(page.text).toContain('<div id="app">');
    expect(await server.end("SIGTERM")).toBe(0);
    expect(await describeStore(folder)).toMatchObject({ version: 1, classes: 0 });
    // The second time it is there.
    const again = await spawnServer([folder], { ACCRETE_CHANGE_TOKEN: "changer" });
    await until("it has said where", () => again.said().includes("Open "));
    expect(again.said()).not.toContain("was not there");
    expect(again.said()).toContain("It asks for the token.");
    expect(await again.end("SIGTERM")).toBe(0);
  });

  test("accrete run --ui shows the run while it goes on, and stays until it is told to end", async () => {
    const folder = await temporaryFolder();
    const config = await writeTinyExperiment(folder);
    const child = spawn(process.execPath, commandLine(["run", config, "--ui"]));
    onTestFinished(() => void child.kill("SIGKILL"));
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    let told = "";
    child.stderr.on("data", (chunk) => {
      told += chunk;
    });
    await until("it has said where", () => told.includes("to watch the run"), 60);
    const [, url = ""] = /Open (\S+) in a browser/.exec(told) ?? [];
    const ask = askerOf((request) => fetch(request), url.replace(/\/$/, ""));
    const runs = async () => (await ask("GET", "/runs")).body.runs;
    await until("the run is listed", async () => (await runs()).length === 1, 60);
    await until("the page stays", () => told.includes("stays at"), 120);
    expect(await runs()).toMatchObject([{ id: "run", state: "finished", tasksDone: 3 }]);
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  });
});
