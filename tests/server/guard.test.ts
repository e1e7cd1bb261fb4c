import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import { refuse, type ServerEnv } from "../../src/server/api/requests.ts";
import { Discretion, RequestError } from "../../src/server/engine/errors.ts";
import { accessOf, authorize, RateLimit, refuseStrangers, type Tokens } from "../../src/server/guard.ts";

const discretion = new Discretion({ kind: "folders", stores: { intents: "/srv/stores/intents" } });

function appOf(...middleware: ReturnType<typeof authorize>[]) {
  const app = new Hono<ServerEnv>();
  app.use(...middleware);
  app.all("*", (c) => c.text("in"));
  app.onError((error, c) => refuse(c, discretion.refusalOf(error)));
  return async (method: string, path: string, headers: Readonly<Record<string, string>> = {}) =>
    (await app.request(`http://localhost:8080${path}`, { method, headers })).status;
}

describe("access", () => {
  test.each([
    ["GET", "/health/live", "open"],
    ["GET", "/docs", "open"],
    ["GET", "/", "open"],
    ["GET", "/page/app-0123.js", "open"],
    ["GET", "/page/../stores", "read"],
    ["GET", "/runs", "read"],
    ["GET", "/metrics", "read"],
    ["GET", "/stores/a/status", "read"],
    ["GET", "/stores/a/kept", "change"],
    ["GET", "/stores/a/kept/groups", "change"],
    ["GET", "/stores/a/quality", "read"],
    ["POST", "/stores/a/kept/nearest", "change"],
    ["POST", "/stores/a/preview", "change"],
    ["POST", "/stores/a/predict", "read"],
    ["POST", "/v1/completions", "read"],
    ["POST", "/predict", "read"],
    ["POST", "/stores/a/learn", "change"],
    ["POST", "/stores/a/kept/delete", "change"],
    ["POST", "/stores/predict/forget", "change"],
    ["DELETE", "/stores/a/jobs/1", "change"],
    ["PUT", "/health/live", "change"],
    ["POST", "/nothing/of/ours", "change"],
  ] as const)("%s %s is %s", (method, path, access) => {
    expect(accessOf(method, path)).toBe(access);
  });

  const both: Tokens = { read: "reader", change: "changer" };
  const [ask, learn] = [
    ["POST", "/predict"],
    ["POST", "/stores/a/learn"],
  ] as const;
  test.each([
    ["no tokens are asked for", {}, undefined, 200, 200],
    ["none is sent", both, undefined, 401, 401],
    ["a wrong one", both, "Bearer nonsense", 401, 401],
    ["the beginning of the right one", both, "Bearer chang", 401, 401],
    ["another scheme", both, "Basic changer", 401, 401],
    ["the one for reading", both, "Bearer reader", 200, 403],
    ["the one for changing", both, "bearer changer", 200, 200],
    ["reading is free, and none is sent", { change: "changer" }, undefined, 200, 401],
    ["changing has no token, and none is sent", { read: "reader" }, undefined, 401, 401],
    ["changing has no token, and the reader asks", { read: "reader" }, "Bearer reader", 200, 403],
  ] as const)("%s", async (_, tokens, header, asking, learning) => {
    const request = appOf(authorize(tokens));
    const headers = header === undefined ? {} : { Authorization: header };
    expect(await request(...ask, headers)).toBe(asking);
    expect(await request(...learn, headers)).toBe(learning);
    expect(await request("GET", "/health/ready")).toBe(200);
  });
});

describe("strangers", () => {
  test.each([
    ["localhost", { Host: "localhost:8080" }, 200],
    ["IPv6's loopback", { Host: "[::1]:8080" }, 200],
    ["a name that was made to point here", { Host: "evil.example:8080" }, 403],
    ["a page of another origin", { Host: "localhost:8080", Origin: "https://evil.example" }, 403],
    ["a page of nowhere", { Host: "localhost:8080", Origin: "null" }, 403],
    ["its own page", { Host: "localhost:8080", Origin: "http://localhost:8080" }, 200],
    ["an origin that may", { Host: "localhost:8080", Origin: "https://app.example" }, 200],
  ])("%s", async (_, headers, status) => {
    const request = appOf(refuseStrangers(true, ["https://app.example"]));
    expect(await request("GET", "/v1/models", headers)).toBe(status);
  });

  test("any host is right where others are meant to ask", async () => {
    const request = appOf(refuseStrangers(false, []));
    expect(await request("GET", "/v1/models", { Host: "models.example" })).toBe(200);
  });
});

describe("rates", () => {
  test("are of one address: twice as many at once, then as many a second", () => {
    let now = 0;
    const rate = new RateLimit(5, () => now);
    for (let i = 0; i < 10; i++) rate.take("a");
    expect(() => rate.take("a")).toThrow(RequestError);
    rate.take("b");
    now = 1;
    for (let i = 0; i < 5; i++) rate.take("a");
    expect(() => rate.take("a")).toThrow(/more than 5 requests a second/);
  });
});

describe("what a client is told", () => {
  test.each([
    [
      "a store by its name",
      "/srv/stores/intents/manifest.json: is damaged",
      "intents/manifest.json: is damaged",
    ],
    ["no other path", "open '/etc/passwd' failed", "open '(a path)' failed"],
    ["no path of Windows", "C:\\Users\\me\\store is busy", "(a path) is busy"],
    ["routes and fractions stay", "POST /predict; 1/2; and/or", "POST /predict; 1/2; and/or"],
  ])("%s", (_, said, told) => {
    expect(discretion.say(said)).toBe(told);
  });

  test("an error of ours by its code, of any other nothing but that it happened", () => {
    const busy = new StoreError("/srv/stores/intents: is being changed", { code: "STORE_BUSY" });
    expect(discretion.refusalOf(busy)).toMatchObject({ status: 503, message: "intents: is being changed" });
    const full = Object.assign(new TypeError("ENOSPC: no space, write '/srv/x/y'"), { code: "ENOSPC" });
    expect(discretion.refusalOf(new StoreError("cannot be written", { cause: full }))).toMatchObject({
      status: 507,
      code: "DISK_FULL",
    });
    const refusal = discretion.refusalOf(new TypeError("secret of /srv/x/y"));
    expect(refusal.status).toBe(500);
    expect(refusal.message).not.toContain("secret");
  });
});
