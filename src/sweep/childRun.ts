/** The command line in a child process: what it computes blocks its thread, and what kills it kills nobody else. */
import { type ChildProcess, spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { StoreError } from "../core/errors.ts";
import { makeFolder } from "./trialState.ts";

export interface ChildEnd {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  /** The end of what it wrote to standard error. */
  readonly log: string;
}

export interface ChildOptions {
  /** Takes what it writes to standard error, behind what stands there. */
  readonly log: string;
  /** Stops it as Ctrl-C does: between two steps, with every file whole. */
  readonly signal: AbortSignal;
}

/** As it was built, or as TypeScript where the package runs from its sources. */
function moduleOf(path: string): URL {
  return new URL(import.meta.url.endsWith(".ts") ? `${path}.ts` : `${path}.js`, import.meta.url);
}

function nodeArguments(): string[] {
  const loader = import.meta.url.endsWith(".ts") ? ["--import", import.meta.resolve("tsx")] : [];
  return [...loader, "--import", moduleOf("./leash").href, fileURLToPath(moduleOf("../cli/main"))];
}

/** How long a child that was told to stop may take for it. */
const graceMs = 30_000;
/** Bytes of a log that a report shows. */
const tailBytes = 2000;

/** Stops the child when the signal says so. @returns what takes that back */
export function stopWith(child: ChildProcess, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill("SIGINT");
    timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return () => {
    signal.removeEventListener("abort", stop);
    clearTimeout(timer);
  };
}

export interface StartedChild {
  readonly child: ChildProcess;
  /** Resolves when it has ended, and its log is read and closed. */
  readonly end: Promise<ChildEnd>;
}

async function readTail(file: FileHandle, begin: number): Promise<string> {
  const { size } = await file.stat();
  const from = Math.max(begin, size - tailBytes);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
  return buffer.toString("utf8", 0, bytesRead);
}

/** Starts `accrete` with these arguments. @throws StoreError where the log cannot be written */
export async function startChild(args: readonly string[], log: string): Promise<StartedChild> {
  await makeFolder(dirname(log));
  const file = await open(log, "a+").catch((cause: unknown) => {
    throw new StoreError(`${log}: cannot be written`, { cause, exitCode: 1 });
  });
  const { size: begin } = await file.stat();
  const child = spawn(process.execPath, [...nodeArguments(), ...args], {
    stdio: ["ignore", "ignore", file.fd, "ipc"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  const end = exited
    .then(async (exitCode) => ({ exitCode, log: await readTail(file, begin) }))
    .finally(() => file.close());
  return { child, end };
}

/** Runs `accrete` with these arguments to its end. @throws StoreError where the log cannot be written */
export async function runChild(args: readonly string[], { log, signal }: ChildOptions): Promise<ChildEnd> {
  const { child, end } = await startChild(args, log);
  return await end.finally(stopWith(child, signal));
}
