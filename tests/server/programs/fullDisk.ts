/** Serves a store on a disk that is filled meanwhile, and prints what it is answered. */
import "../../../src/runtime/telemetry.ts";
import { rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { createServer } from "../../../src/server/server.ts";
import { askerOf } from "../../support/servers.ts";

const [, , folder = ""] = process.argv;
await using server = createServer({ intents: folder });
await server.opened;
const ask = askerOf((request) => server.fetch(request), "http://localhost");
const versionOf = async () => (await ask("GET", "/stores/intents/status")).body.version;
const predict = async () => (await ask("POST", "/predict", { inputs: "a test number 1 a" })).body;
const [before, right] = [await versionOf(), await predict()];
const filler = `${dirname(folder)}/filler`;
await writeFile(filler, new Uint8Array(2 ** 20)).catch(() => {});
const body = { class: "cc", texts: Array.from({ length: 40 }, (_, i) => `c train number ${i} c`) };
const { status, body: told } = await ask("POST", "/stores/intents/learn", body);
const [after, then] = [await versionOf(), await predict()];
await rm(filler);
const healed = (await ask("POST", "/stores/intents/learn", body)).status;
const predicted = { before: right, after: then };
process.stdout.write(
  JSON.stringify({ refused: { status, body: told }, predicted, version: { before, after }, healed }),
);
