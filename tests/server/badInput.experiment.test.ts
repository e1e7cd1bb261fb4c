/** What a server is sent that it should not be: each is refused with a reason, and the next request is answered. */
import { spawn, spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Listening, listen } from "../../src/server/listen.ts";
import { createServer } from "../../src/server/server.ts";
import { heardOf } from "../support/cli.ts";
import { bytesBelow } from "../support/folders.ts";
import { type Answered, type Ask, askerOf, until, writeStores } from "../support/servers.ts";
import { untilEnd } from "../support/untilEnd.ts";

const receiveSeconds = 2;
const maxCharacters = 50_000;
let root: string;
let listening: Listening;
let ask: Ask;
let logged: string[] = [];
const tokens = { read: "reader-token", change: "changer-token" };
const reader = { Authorization: "Bearer reader-token" };
const changer = { Authorization: "Bearer changer-token" };

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb"] });
  const server = createServer(
    { intents: `${root}/intents` },
    {
      tokens,
      limits: { receiveSeconds, learnBodyBytes: 2 ** 20 },
      log: (entry) => logged.push(JSON.stringify(entry)),
    },
  );
  await server.opened;
  listening = await listen(server, { host: "127.0.0.1", port: 0 });
  untilEnd({ [Symbol.asyncDispose]: () => listening.stop() });
  ask = askerOf((request) => fetch(request), listening.url);
});

afterEach(async () => {
  const { status, text } = await ask("POST", "/predict", { inputs: "a test number 1 a" }, reader);
  expect(status).toBe(200);
  expect(text).toContain('"aa"');
});

function expectRefusal(answered: Answered, status: number, message: RegExp): void {
  expect({ status: answered.status, text: answered.text }).toMatchObject({ status });
  expect(answered.body.error).toMatch(message);
  expect(answered.body.request_id).toMatch(/^[\w-]{10,}$/);
  expect(answered.text).not.toContain(root);
}

const predict = "/stores/intents/predict";

describe("bodies", () => {
  test.each([
    ["a text in place of a list", { texts: "a" }, 422, /texts: .*expected array/],
    ["a number in place of a text", { texts: [1] }, 422, /texts\.0: .*expected string/],
    ["null", null, 422, /expected object/],
    ["a list", [], 422, /expected object/],
    ["no text", { texts: [] }, 422, /texts: /],
    ["too many texts", { texts: Array.from({ length: 257 }, () => "a") }, 422, /texts: .*256/],
    ["an unknown field", { texts: ["a"], temperature: 1 }, 422, /[Uu]nrecognized key: "temperature"/],
    ["a field of every object", { texts: ["a"], constructor: 1 }, 422, /"constructor"/],
    ["half a character", { texts: ["\ud83d"] }, 422, /UTF-8/],
    ["a coverage of 1", { texts: ["a"], coverage: 1 }, 422, /coverage: /],
    ["a text of 100,000 characters", { texts: ["x".repeat(100_000)] }, 422, /texts\.0: .*50000 characters/],
  ])("%s", async (_, body, status, message) => {
    expectRefusal(await ask("POST", predict, body, reader), status, message);
  });

  test("a text as long as allowed is answered", async () => {
    const text = "word ".repeat(maxCharacters / 5);
    expect((await ask("POST", predict, { texts: [text] }, reader)).status).toBe(200);
  });

  test.each([
    ["that is no JSON", "{", 400, /JSON/],
    ["that is empty", "", 400, /JSON/],
    ["with a prototype", '{"texts":["a"],"__proto__":{"admin":true}}', 422, /__proto__/],
    ["that is not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), 400, /UTF-8/],
    ["of 10 MB", JSON.stringify({ texts: ["x".repeat(10_000_000)] }), 413, /larger than \d+ bytes/],
    ["nested ten thousand deep", "[".repeat(10_000) + "]".repeat(10_000), 422, /expected object/],
  ])("a body %s", async (_, body, status, message) => {
    expectRefusal(await ask("POST", predict, body, reader), status, message);
  });

  test("a body that says nothing of its length is cut off where it is too large", async () => {
    let sent = 0;
    const chunk = new TextEncoder().encode("x".repeat(100_000));
    const stream = new ReadableStream({
      pull(controller) {
        sent += chunk.length;
        if (sent > 30_000_000) controller.close();
        else controller.enqueue(chunk);
      },
    });
    const request = new Request(listening.url + predict, {
      method: "POST",
      body: stream,
      headers: { "Content-Type": "application/json", ...reader },
      duplex: "half",
    });
    const response = await fetch(request);
    expect(response.status).toBe(413);
    await response.text();
    expect(sent).toBeLessThan(20_000_000);
  });

  test("a form of a foreign page", async () => {
    const form = { "Content-Type": "text/plain", ...reader };
    expectRefusal(await ask("POST", predict, '{"texts":["a"]}', form), 415, /application\/json/);
    const page = { Origin: "https://evil.example", ...reader };
    expectRefusal(await ask("POST", predict, { texts: ["a"] }, page), 403, /origin/);
  });
});

describe("names", () => {
  test.each([
    ["/stores/..%2f..%2fetc%2fpasswd/predict", 404],
    ["/stores/intents%00/predict", 404],
    ["/stores/__proto__/predict", 404],
    ["/stores/constructor/predict", 404],
    ["/stores/intents/predict/../../../etc/passwd", 404],
    ["/..%2f..%2fetc/passwd", 404],
  ])("%s leads nowhere", async (path, status) => {
    const answered = await ask("POST", path, { texts: ["a"] }, changer);
    expectRefusal(answered, status, /no store is called|nothing here/);
  });

  test("a task's name makes a folder inside the store", async () => {
    const examples = ["x 1", "x 2", "y 1", "y 2"].map((text) => ({ text, label: text[0] }));
    const body = { task: "../../../escaped", examples, statisticsOnly: true };
    const before = Object.keys(await bytesBelow(root));
    expect((await ask("POST", "/stores/intents/learn", body, changer)).status).toBe(200);
    const made = Object.keys(await bytesBelow(root)).filter((path) => !before.includes(path));
    expect(made.length).toBeGreaterThan(0);
    expect(made.filter((path) => !path.startsWith("intents/"))).toEqual([]);
  });
});

describe("tokens", () => {
  test.each([
    ["missing", {}, 401],
    ["wrong", { Authorization: "Bearer wrong" }, 401],
    ["for reading", reader, 403],
  ])("%s: nothing is changed, and the token stands in no log", async (_, headers, status) => {
    const before = await bytesBelow(`${root}/intents`);
    logged = [];
    const answered = await ask("POST", "/stores/intents/forget", { class: "aa" }, headers);
    expect(answered.status).toBe(status);
    expect(answered.headers.has("www-authenticate")).toBe(status === 401);
    expect(await bytesBelow(`${root}/intents`)).toEqual(before);
    expect(logged.join("\n")).toContain("/stores/intents/forget");
    expect(logged.join("\n")).not.toMatch(/reader-token|wrong/);
  });

  test("no text that was asked stands in a log", async () => {
    logged = [];
    await ask("POST", predict, { texts: ["a very private text"] }, reader);
    await ask("POST", `${predict}?text=private`, { texts: 1 }, reader);
    expect(logged).toHaveLength(2);
    expect(logged.join("\n")).not.toContain("private");
  });
});

function socket(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const one = connect(listening.port, "127.0.0.1", () => resolve(one));
    one.on("error", reject);
  });
}

describe("connections", () => {
  test("a client that sends its body byte by byte is cut off, and holds nobody up", async () => {
    const slow = await socket();
    slow.on("error", () => {});
    const closed = new Promise((resolve) => slow.once("close", resolve));
    slow.resume();
    slow.write(`POST ${predict} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`);
    slow.write(`Authorization: Bearer reader-token\r\nContent-Length: 1000\r\n\r\n`);
    const drip = setInterval(() => slow.write(" "), 100);
    const start = performance.now();
    expect((await ask("GET", "/health/live")).status).toBe(200);
    await closed;
    clearInterval(drip);
    expect(performance.now() - start).toBeLessThan(1000 * (receiveSeconds + 5));
  });

  test("a thousand that are half open: others are answered meanwhile, and they are cut off", async () => {
    const all: Socket[] = [];
    for (let i = 0; i < 1000; i++) all.push(await socket());
    let open = all.length;
    for (const one of all) {
      one.on("error", () => {});
      one.once("close", () => open--);
      one.resume();
      one.write("POST /predict HTTP/1.1\r\nHost: loc");
    }
    const start = performance.now();
    expect((await ask("POST", predict, { texts: ["a"] }, reader)).status).toBe(200);
    expect(performance.now() - start).toBeLessThan(1500);
    await until("all are cut off", () => open === 0, receiveSeconds + 10);
  });

  test("what a client asked that has left is not computed", async () => {
    const stop = new AbortController();
    const sent = fetch(listening.url + predict, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...reader },
      body: JSON.stringify({ texts: Array.from({ length: 256 }, (_, i) => `${i} ${"word ".repeat(500)}`) }),
      signal: stop.signal,
    }).catch(() => "left");
    await sleep(50);
    stop.abort();
    expect(await sent).toBe("left");
    await until("nothing waits", async () => {
      const { text } = await ask("GET", "/metrics", undefined, reader);
      return /^accrete_queued_texts 0$/m.test(text);
    });
  });
});

const mounts = spawnSync("unshare", ["--mount", "true"]).status === 0;
test.skipIf(!mounts)(
  "learning onto a full disk is refused, and the store goes on (skipped where no file system can be mounted)",
  async () => {
    const small = `${root}/small`;
    const steps = `mkdir -p ${small} && mount -t tmpfs -o size=400k tmpfs ${small} && cp -r ${root}/intents ${small}/intents`;
    const program = new URL("./programs/fullDisk.ts", import.meta.url).pathname;
    const run = `${steps} && exec ${process.execPath} --import tsx ${program} ${small}/intents`;
    const { out, err, exitCode } = await heardOf(spawn("unshare", ["--mount", "sh", "-c", run]));
    expect({ exitCode, err }).toMatchObject({ exitCode: 0 });
    const { refused, predicted, version, healed } = JSON.parse(out);
    expect(refused).toMatchObject({ status: 507, body: { code: "DISK_FULL" } });
    expect(JSON.stringify(refused)).not.toContain(small);
    expect(predicted.after).toEqual(predicted.before);
    expect(version.after).toBe(version.before);
    expect(healed).toBe(200);
  },
);
