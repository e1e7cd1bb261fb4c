/** The typed client against a server, and whether it is the one that the server's document makes. */
import { readFile } from "node:fs/promises";
import { createClient, ResponseError } from "accrete-lm/client";
import { beforeAll, describe, expect, test } from "vitest";
import { generatedFile, generateOperations } from "../../tools/client/generate.ts";
import { type Served, served, writeStores } from "../support/servers.ts";
import { texts } from "../support/tinyStreams.ts";
import { untilEnd } from "../support/untilEnd.ts";

let one: Served;
const tokens = { read: "reader", change: "changer" };

beforeAll(async () => {
  const root = await writeStores({ intents: ["aa", "bb"] });
  one = untilEnd(await served({ intents: `${root}/intents` }, { tokens }));
});

const clientWith = (token?: string) =>
  createClient({ baseUrl: "http://localhost/", token, fetch: (request) => one.server.fetch(request) });
const name = "intents";

test("the client is the one that tools/client/generate.ts makes", async () => {
  const { body } = await one.ask("GET", "/openapi.json");
  expect(await readFile(generatedFile, "utf8")).toBe(generateOperations(body));
});

describe("the client", () => {
  test("asks, teaches, watches and reads as its token allows", async () => {
    const client = clientWith("changer");
    expect(await client.ready()).toEqual({ status: "ok" });
    const { predictions } = await client.predict({ name }, { texts: ["a test number 1 a"] });
    expect(predictions).toMatchObject([{ text: "a test number 1 a", task: "letters", version: 2 }]);
    const job = await client.learn({ name, wait: "false" }, { class: "cc", texts: ["c c", "c d c"] });
    const events: string[] = [];
    for await (const { event } of client.jobEvents({ name, id: job.id })) events.push(event);
    expect(events).toEqual(expect.arrayContaining(["state", "features"]));
    expect((await client.job({ name, id: job.id })).result).toMatchObject({ version: 3 });
    expect((await client.status({ name })).classes).toEqual(["aa", "bb", "cc"]);
    expect(await client.metrics()).toContain(
      'accrete_changes_total{store="intents",kind="learn",state="done"} 1',
    );
  });

  test("tells refusals by their code", async () => {
    const refused = await clientWith("reader")
      .forget({ name }, { class: "aa" })
      .catch((error: unknown) => error);
    if (!(refused instanceof ResponseError)) throw refused;
    expect(refused).toMatchObject({ status: 403, code: "FORBIDDEN" });
    expect(refused.requestId).toMatch(/^[\w-]+$/);
    const nobody = clientWith();
    await expect(nobody.models()).rejects.toMatchObject({ status: 401, code: "UNAUTHORIZED" });
    const unknown = clientWith("reader").classify({ model: "intent", input: "a" });
    await expect(unknown).rejects.toMatchObject({ status: 404, code: "NO_SUCH_STORE" });
  });

  test("ends a job that it cancels", async () => {
    const client = clientWith("changer");
    const examples = texts(["xx", "yy"], "train", 60);
    const { id } = await client.learn({ name }, { task: "long", examples });
    const ended = await client.cancelJob({ name, id });
    expect(ended.state).toBe("cancelled");
  });
});

test("pages of an origin that may ask are told so, before and with every answer, refusals too", async () => {
  const origins = ["https://app.example"];
  await using open = await served({}, { tokens, origins });
  const page = { Origin: "https://app.example" };
  const asked = await open.ask("OPTIONS", "/predict", undefined, {
    ...page,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
  });
  expect(asked.status).toBe(204);
  expect(asked.headers.get("access-control-allow-headers")).toMatch(/Authorization/);
  const models = await open.ask("GET", "/v1/models", undefined, { ...page, Authorization: "Bearer reader" });
  const refused = await open.ask("POST", "/predict", { inputs: "a" }, page);
  expect([models.status, refused.status]).toEqual([200, 401]);
  for (const { headers } of [asked, models, refused])
    expect(headers.get("access-control-allow-origin")).toBe("https://app.example");
  const closed = await one.ask("GET", "/v1/models", undefined, { Authorization: "Bearer reader" });
  expect(closed.headers.has("access-control-allow-origin")).toBe(false);
});
