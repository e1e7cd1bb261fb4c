/** Small sweeps, and the services that many machines share: a Redis and an S3 of the test's own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { sha256 } from "../../src/io/hash.ts";
import { commandLine } from "./cli.ts";
import { bytesBelow, folderOfTestFile } from "./folders.ts";
import { optional } from "./shared.ts";
import { writeTinyExperiment } from "./tinyStreams.ts";

/** A folder with a tiny experiment, short enough for many trials. */
export async function furnishSweeps(): Promise<{
  readonly root: string;
  /** Writes a sweep's file of it. @returns its path */
  readonly write: (name: string, yaml: string) => Promise<string>;
}> {
  const root = folderOfTestFile("sweeps");
  const tiny = await writeTinyExperiment(root);
  await writeFile(tiny, (await readFile(tiny, "utf8")).replace("tasks: 3", "tasks: 2"));
  const write = async (name: string, yaml: string) => {
    const path = join(root, `${name}.yaml`);
    await writeFile(path, `base: tiny.yaml\n${yaml}`);
    return path;
  };
  return { root, write };
}

/** What of runs has to be the same however they came about: all but times and memory. */
const same = /^(adapter_.*|head\.safetensors|accrete\.json|predictions\.jsonl|.*_matrix\.csv)$/;

/** Every trial's files that must be equal: path in the sweep's folder → a hash of its bytes. */
export async function runsOf(out: string): Promise<Record<string, string>> {
  const configurations = (await readdir(out)).filter((name) => /^c\d+$/.test(name)).sort();
  expect(configurations.length).toBeGreaterThan(0);
  const all: Record<string, string> = {};
  for (const name of configurations)
    for (const [path, bytes] of Object.entries(await bytesBelow(join(out, name), (file) => same.test(file))))
      all[`${name}/${path}`] = sha256(bytes);
  return all;
}

/** A command line in a process of its own, that may be killed. */
export function startAccrete(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { readonly child: ChildProcess; readonly heard: () => string; readonly ended: Promise<number | null> } {
  const child = spawn(process.execPath, commandLine(args), {
    env: { ...process.env, DEBUG: "", NODE_NO_WARNINGS: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      text += chunk;
    });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { child, heard: () => text, ended };
}

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, seconds = 60) {
  for (const end = Date.now() + 1000 * seconds; !(await holds()); await sleep(50))
    if (Date.now() > end) throw new TypeError(`waited ${seconds} s for ${what}`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : expect.unreachable();
}

async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

function pathOf(command: string): string {
  const { stdout } = spawnSync("sh", ["-c", `command -v ${command}`], { encoding: "utf8" });
  return stdout.trim() || `/usr/bin/${command}`;
}

/** Debian's package, or whatever serves the same protocol. */
export const redisServer = optional(
  [pathOf("redis-server"), pathOf("valkey-server")].find(existsSync) ?? "/usr/bin/redis-server",
  "redis-server is not installed: apt-get install redis-server",
);

export interface OwnRedis extends AsyncDisposable {
  readonly url: string;
  /** Kills it and starts it again on what it had written. */
  readonly restart: () => Promise<void>;
  readonly kill: () => Promise<void>;
}

/** A Redis on a port of its own, with its append-only file on. */
export async function startRedis(password?: string): Promise<OwnRedis> {
  const folder = folderOfTestFile("redis");
  const port = await freePort();
  const args = [
    "--port",
    `${port}`,
    "--bind",
    "127.0.0.1",
    "--dir",
    folder,
    "--save",
    "",
    "--appendonly",
    "yes",
  ];
  const auth = password === undefined ? [] : ["--requirepass", password];
  let child: ChildProcess;
  const start = async () => {
    child = spawn(redisServer.path, [...args, "--appendfsync", "always", ...auth], { stdio: "ignore" });
    await until(() => answers(port), "Redis");
  };
  const stop = async () => {
    if (child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.on("close", resolve));
    child.kill("SIGKILL");
    await ended;
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    kill: stop,
    restart: async () => {
      await stop();
      await start();
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Another S3 server, which checks signatures: the binary of github.com/versity/versitygw. */
const versityGateway = process.env.ACCRETE_VERSITYGW;
/** Whether a request whose signed headers were changed on the way is refused. */
export const checksSignatures = versityGateway !== undefined;

/** PyPI's moto, which serves S3 with conditional writes; or the other server. */
export const s3Server = optional(
  versityGateway ??
    [pathOf("moto_server"), join(homedir(), ".cache/accrete-s3/bin/moto_server")].find(existsSync) ??
    "/usr/bin/moto_server",
  "moto_server is not installed: pip install 'moto[server]'",
);

/** An S3 on a port of its own; the environment says where until it is disposed of. */
export async function startS3(bucket: string): Promise<AsyncDisposable & { readonly url: string }> {
  const port = await freePort();
  const [access, secret] = ["test-access", "test-secret"];
  const args =
    versityGateway === undefined
      ? ["-H", "127.0.0.1", "-p", `${port}`]
      : [
          ...["--access", access, "--secret", secret, "--port", `127.0.0.1:${port}`, "posix"],
          ...["--sidecar", folderOfTestFile(`s3-sidecar-${port}`), folderOfTestFile(`s3-${port}`)],
        ];
  const child = spawn(s3Server.path, args, { stdio: "ignore" });
  await until(() => answers(port), s3Server.path);
  const url = `http://127.0.0.1:${port}`;
  const own = { AWS_ENDPOINT_URL: url, AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret };
  Object.assign(process.env, own);
  const { CreateBucketCommand, S3Client } = await import("@aws-sdk/client-s3");
  const client = new S3Client({ region: "us-east-1", endpoint: url, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    url,
    async [Symbol.asyncDispose]() {
      for (const key of Object.keys(own)) delete process.env[key];
      const ended = new Promise((resolve) => child.on("close", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}
