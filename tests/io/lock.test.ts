import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import { acquireLock, refuseHeld } from "../../src/io/lock.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";

let folder = "";
beforeEach(async () => {
  folder = await temporaryFolder();
});

const startedAt = "2026-01-01T00:00:00.000Z";

function plant(owner: Record<string, unknown>): Promise<void> {
  return writeFile(join(folder, "lock.json"), JSON.stringify({ hostname: hostname(), startedAt, ...owner }));
}

describe("acquireLock", () => {
  test("names its owner in the file, and leaves nothing when released", async () => {
    {
      await using lock = await acquireLock(folder);
      const stored: unknown = JSON.parse(await readFile(join(folder, "lock.json"), "utf8"));
      expect(stored).toEqual(lock.owner);
      expect(stored).toMatchObject({ pid: process.pid, hostname: hostname() });
      expect(lock.brokenFrom).toBeUndefined();
      expect(await readdir(folder)).toEqual(["lock.json"]);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  test("a second one is refused, naming process and host, and does not harm the first", async () => {
    await using lock = await acquireLock(folder);
    const second = acquireLock(folder);
    await expect(second).rejects.toThrow(StoreError);
    await expect(second).rejects.toThrow(`written by process ${process.pid} on ${hostname()}`);
    await expect(second).rejects.toMatchObject({
      exitCode: 2,
      hint: expect.stringMatching(/choose another folder/),
    });
    await expect(acquireLock(folder, { elsewhere: false })).rejects.toMatchObject({
      hint: "Wait for it, or stop it.",
    });
    expect(JSON.parse(await readFile(join(folder, "lock.json"), "utf8"))).toEqual(lock.owner);
  });

  test("another live process keeps its lock", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      await plant({ pid: child.pid });
      await expect(acquireLock(folder)).rejects.toThrow(`process ${child.pid}`);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("a dead process's lock is broken, and told", async () => {
    const { pid } = deadOwner();
    await plant({ pid });
    await using lock = await acquireLock(folder);
    expect(lock.brokenFrom).toEqual({ pid, hostname: hostname(), startedAt });
    expect(await readdir(folder)).toEqual(["lock.json"]);
  });

  test.skipIf(!existsSync("/proc/self/stat"))(
    "a process id that came again is not its former owner (skipped where there is no /proc)",
    async () => {
      await plant({ pid: process.pid, processStart: "an-earlier-boot:1" });
      await using lock = await acquireLock(folder);
      expect(lock.brokenFrom?.processStart).toBe("an-earlier-boot:1");
    },
  );

  test("another host's lock is kept, whatever its process id", async () => {
    await plant({ pid: deadOwner().pid, hostname: "elsewhere" });
    const refused = acquireLock(folder);
    await expect(refused).rejects.toThrow("on elsewhere");
    await expect(refused).rejects.toMatchObject({ hint: expect.stringContaining("delete") });
  });

  test("a file that is no record of a lock is somebody's, and stays", async () => {
    await writeFile(join(folder, "lock.json"), "half a");
    await expect(acquireLock(folder)).rejects.toThrow(/cannot be understood: "half a"/);
    expect(await readFile(join(folder, "lock.json"), "utf8")).toBe("half a");
  });

  test("of many that find a dead lock at once, one gets the folder", async () => {
    for (let round = 0; round < 6; round++) {
      await plant({ pid: deadOwner().pid });
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(folder)));
      for (const result of results)
        if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "STORE_BUSY" });
      const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      expect(won).toHaveLength(1);
      for (const lock of won) await lock[Symbol.asyncDispose]();
    }
    expect(await readdir(folder)).toEqual([]);
  });

  test("a dead owner's record does not hold the folder, whatever host and process id it names", async () => {
    await plant({ pid: process.pid, hostname: "a-container-that-is-gone", held: "os" });
    await using lock = await acquireLock(folder);
    expect(lock.brokenFrom).toMatchObject({ hostname: "a-container-that-is-gone" });
  });

  test.each(["", "{", '{\n  "pi'])("a record that its writer left torn (%j) is taken over", async (text) => {
    await writeFile(join(folder, "lock.json"), text);
    await using lock = await acquireLock(folder);
    expect(lock.brokenFrom).toBeUndefined();
  });

  test("who waits says for whom, and gets the folder when it is free", async () => {
    const first = await acquireLock(folder);
    const heard: string[] = [];
    const second = acquireLock(folder, { waitMs: 10_000, onWait: (message) => heard.push(message) });
    await setTimeout(400);
    expect(heard).toEqual([
      `waiting for process ${process.pid} on ${hostname()} (this very process), which is writing to ${folder}`,
    ]);
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual([]);
  });

  test("a wait ends with an error of its own code, or with its signal", async () => {
    await using _ = await acquireLock(folder);
    await expect(acquireLock(folder, { waitMs: 300 })).rejects.toMatchObject({ code: "STORE_BUSY" });
    const signal = AbortSignal.timeout(200);
    await expect(acquireLock(folder, { waitMs: 60_000, signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });

  test("a lock that is a link is not followed", async () => {
    const target = join(folder, "somebody's");
    await writeFile(target, "precious");
    await symlink(target, join(folder, "lock.json"));
    await expect(acquireLock(folder)).rejects.toThrow(/cannot be locked/);
    expect(await readFile(target, "utf8")).toBe("precious");
  });

  test("looking whether a folder is held takes nothing and leaves nothing", async () => {
    await refuseHeld(folder);
    expect(await readdir(folder)).toEqual([]);
    await using _ = await acquireLock(folder);
    await expect(refuseHeld(folder)).rejects.toMatchObject({ code: "STORE_BUSY" });
  });

  test("releasing leaves another owner's lock alone", async () => {
    const lock = await acquireLock(folder);
    await rm(join(folder, "lock.json"));
    await plant({ pid: 1, hostname: "elsewhere" });
    await lock[Symbol.asyncDispose]();
    expect(await readFile(join(folder, "lock.json"), "utf8")).toContain("elsewhere");
    expect(await readdir(folder)).toEqual(["lock.json"]);
  });

  test("a folder that is not there is named", async () => {
    await expect(acquireLock(join(folder, "none"))).rejects.toThrow(/none: cannot be locked/);
  });
});
