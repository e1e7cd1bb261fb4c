/** `accrete serve --queue`: a queue's workers over HTTP. */
import { describe, expect, onTestFinished, test } from "vitest";
import { openConnection } from "../../src/sweep/queue/connection.ts";
import { reportWorker } from "../../src/sweep/queue/registry.ts";
import { accrete } from "../support/cli.ts";
import { spawnServer } from "../support/servers.ts";
import { freePort, redisServer, startRedis, until } from "../support/sweeps.ts";

const work = { sweep: "ranks", trial: "c0/seed-1", evaluated: 1, tasks: 6, examplesPerSecond: 41.5 };
const report = { name: "here-1", version: "0.1.0", concurrency: 2, work: [work], done: 3, failed: 1 };

describe.skipIf(redisServer.absent)(redisServer.titled("a server that watches a queue"), () => {
  test("shows its workers, says when Redis is gone, takes it up again, and ends without it", async () => {
    await using redis = await startRedis();
    const connection = await openConnection(redis.url);
    onTestFinished(() => connection[Symbol.asyncDispose]());
    await reportWorker(connection.redis, report);
    await connection.redis.lpush("accrete:trials:wait", "1");
    const { ask, end } = await spawnServer(["--queue", redis.url]);

    const { body } = await ask("GET", "/workers");
    expect(body).toEqual({
      place: redis.url,
      workers: [{ ...report, seen: expect.any(Number), dead: false, silentSeconds: expect.any(Number) }],
      jobs: { waiting: 1, active: 0, delayed: 0, "waiting-children": 0, completed: 0, failed: 0 },
    });
    const { text } = await ask("GET", "/metrics");
    expect(text).toContain("accrete_queue_up 1");
    expect(text).toContain('accrete_queue_jobs{state="waiting"} 1');
    expect(text).toContain('accrete_queue_workers{state="alive"} 1');
    expect(text).toContain('accrete_queue_examples_per_second{worker="here-1"} 41.5');
    expect((await ask("GET", "/info")).body.watches_queue).toBe(true);

    await redis.kill();
    await until(async () => (await ask("GET", "/workers")).status === 503, "the queue to be silent");
    const refusal = (await ask("GET", "/workers")).body;
    expect(refusal).toMatchObject({ code: "QUEUE_SILENT" });
    expect(refusal.error).toMatch(`the queue does not answer: ${redis.url}.`);
    const silent = (await ask("GET", "/metrics")).text;
    expect(silent).toContain("accrete_queue_up 0");
    expect(silent).not.toContain("accrete_queue_jobs{");
    expect((await ask("GET", "/health/ready")).status).toBe(200);

    await redis.restart();
    await until(async () => (await ask("GET", "/workers")).status === 200, "the queue to answer again");
    await redis.kill();
    expect(await end("SIGTERM")).toBe(0);
  });
});

test("a queue that cannot be reached is refused at once", async () => {
  const { exitCode, err } = await accrete("serve", "--queue", `redis://127.0.0.1:${await freePort()}`);
  expect({ exitCode, err }).toMatchObject({
    exitCode: 2,
    err: expect.stringMatching(/the queue cannot be used: connect ECONNREFUSED/),
  });
});
