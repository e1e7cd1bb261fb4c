/** Servers of stores, asked in the process that runs them or over a connection. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { createServer, type ServerOptions, type StoreServer } from "../../src/server/server.ts";
import { openStore } from "../../src/store/store.ts";
import { commandLine } from "./cli.ts";
import { folderOfTestFile } from "./folders.ts";
import { settings, statisticsOnly } from "./stores.ts";
import { writeTinyModel } from "./tinyModels.ts";
import { texts } from "./tinyStreams.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a server says is compared as a whole
  readonly body: any;
}

export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answered>;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Asks; a body that is no text or bytes goes as JSON. */
export function askerOf(fetching: (request: Request) => Response | Promise<Response>, base: string): Ask {
  return async (method, path, body, headers = {}) => {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const sent = isRaw ? body : JSON.stringify(body);
    const response = await fetching(
      new Request(base + path, {
        method,
        headers: { ...(body !== undefined && { "Content-Type": "application/json" }), ...headers },
        ...(body !== undefined && { body: sent }),
      }),
    );
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parse(text) };
  };
}

/** A folder of the test file's with a tiny model, and in it stores of statistics of these labels. */
export async function writeStores(named: Readonly<Record<string, readonly string[]>>): Promise<string> {
  const root = folderOfTestFile("served");
  await writeTinyModel(`${root}/model`);
  for (const [name, labels] of Object.entries(named)) {
    await using store = await openStore(`${root}/${name}`, {
      create: { backbone: `${root}/model`, ...settings },
      background: false,
    });
    if (labels.length > 0) await store.learn({ name: "letters", train: texts(labels) }, statisticsOnly);
  }
  return root;
}

export interface Served extends AsyncDisposable {
  readonly server: StoreServer;
  readonly ask: Ask;
}

/** Serves stores without a connection. */
export async function served(
  stores: Readonly<Record<string, string>> | string,
  options: ServerOptions = {},
): Promise<Served> {
  const server = createServer(stores, { pollMs: 50, ...options });
  await server.opened;
  const ask = askerOf((request) => server.fetch(request), "http://localhost");
  return { server, ask, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** Waits until something is so. */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  seconds = 30,
): Promise<void> {
  const end = performance.now() + 1000 * seconds;
  while (!(await isSo())) {
    if (performance.now() > end) throw new TypeError(`${what}: not within ${seconds} s`);
    await sleep(20);
  }
}

export interface SentEvent {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a server says is compared as a whole
  readonly data: any;
}

/** The events of a stream, in their order. */
export function eventsOf(text: string): SentEvent[] {
  return text
    .split("\n\n")
    .filter((block) => block.includes("data:"))
    .map((block) => {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1] ?? "";
      return { event: field("event"), data: parse(field("data")) ?? field("data") };
    });
}

/** A server that runs as the command line starts it. */
export interface Spawned {
  readonly ask: Ask;
  readonly url: string;
  readonly child: ChildProcessWithoutNullStreams;
  /** Everything that it has logged. */
  logged(): string;
  /** What it says to whoever started it. */
  said(): string;
  /** Sends a signal, and waits for the end. @returns the exit code, null where it was killed */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `accrete serve` on any free port, and waits until it is ready. */
export async function spawnServer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Spawned> {
  const child = spawn(process.execPath, commandLine(["serve", "--port", "0", ...args]), {
    cwd: packageRoot,
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let [log, said] = ["", ""];
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const isReady = () => log.includes('"message":"ready"') || child.exitCode !== null;
  await until("the server is ready", isReady, 60);
  const url = /"url":"(http:[^"]+)"/.exec(log)?.[1] ?? "";
  if (child.exitCode !== null) throw new TypeError(`the server ended: ${log}`);
  return {
    ask: askerOf((request) => fetch(request), url),
    url,
    child,
    logged: () => log,
    said: () => said,
    end: async (signal) => {
      child.kill(signal);
      return await ended;
    },
  };
}
