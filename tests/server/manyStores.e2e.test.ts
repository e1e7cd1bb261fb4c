/** `accrete serve --stores` as processes: what it refuses, and two of them on one folder. */
import { writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { spawnAccrete } from "../support/cli.ts";
import { spawnServer, until, writeStores } from "../support/servers.ts";

let root: string;

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb"], others: ["cc"] });
  await writeFile(`${root}/file`, "");
});

describe("before it listens", () => {
  test.each([
    ["a size that is none", ["--memory", "much"], /--memory.*must be a size/s],
    ["no memory at all", ["--memory", "0MB"], /--memory.*must be a size/s],
    ["a folder that is not there", ["--stores", "nowhere"], /nowhere: there is no such folder/],
    ["a file in its place", ["--stores", "ROOT/file"], /file: is no folder/],
    ["stores that are named as well", ["ROOT/intents", "--stores", "ROOT"], /named one by one/],
    ["a bucket that cannot be one", ["--stores", "s3://Not_a_bucket"], /expected s3:\/\/bucket/],
  ])("%s is refused", async (_, args, message) => {
    const words = args.map((word) => word.replace("ROOT", root));
    const { exitCode, err } = await spawnAccrete(["serve", ...words]);
    expect(err).toMatch(message);
    expect(exitCode).toBe(2);
  });
});

test("a read-only server takes up what another one on the same folder has changed", async () => {
  const writer = await spawnServer(["--stores", root]);
  const reader = await spawnServer(["--stores", root, "--read-only", "--memory", "1MB"]);
  const status = "/stores/intents/status";
  expect((await reader.ask("GET", status)).body).toMatchObject({ version: 2, classes: ["aa", "bb"] });
  const learned = await writer.ask("POST", "/stores/intents/learn", {
    class: "xx",
    texts: ["x 1 x", "x 2 x"],
  });
  expect(learned).toMatchObject({ status: 200, body: { result: { version: 3 } } });
  await until("it is taken up", async () => (await reader.ask("GET", status)).body.version === 3, 10);
  const [one, other] = await Promise.all(
    [writer, reader].map(
      async ({ ask }) => (await ask("POST", "/stores/intents/predict", { texts: ["x 3 x"] })).body,
    ),
  );
  expect(other).toEqual(one);
  expect(one?.predictions[0]).toMatchObject({ version: 3 });
  const refused = await reader.ask("POST", "/stores/others/learn", { class: "xx", texts: ["x"] });
  expect(refused).toMatchObject({ status: 403, body: { code: "READ_ONLY" } });
  expect(await writer.end("SIGTERM")).toBe(0);
  expect((await reader.ask("GET", status)).body.version).toBe(3);
  expect(await reader.end("SIGTERM")).toBe(0);
});
