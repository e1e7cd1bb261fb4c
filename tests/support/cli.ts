import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { type Command, CommanderError } from "commander";
import { expect } from "vitest";
import { main } from "../../src/cli/main.ts";
import { buildProgram } from "../../src/cli/program.ts";
import type { Terminal } from "../../src/cli/terminal/terminal.ts";
import { cliArguments } from "./built.ts";

export interface Heard {
  readonly out: string;
  readonly err: string;
}

/** A terminal that listens. */
export function listeningTerminal(tty = false): Terminal & { heard(): Heard } {
  let out = "";
  let err = "";
  return {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    clearErrLine: () => {
      err += "\r\u001b[K";
    },
    outIsTty: tty,
    errIsTty: tty,
    color: false,
    width: 80,
    errWidth: 100,
    heard: () => ({ out, err }),
  };
}

/** Runs the command line in this process. */
export async function accrete(...args: readonly string[]): Promise<Heard & { readonly exitCode: number }> {
  const terminal = listeningTerminal();
  const exitCode = await main(args, terminal);
  return { exitCode, ...terminal.heard() };
}

/** Runs a command that must do well. @returns what it writes to standard output */
export async function succeed(...args: readonly string[]): Promise<string> {
  const { exitCode, out, err } = await accrete(...args);
  expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
  return out;
}

/** Runs a command that must do well. @returns its JSON lines */
export async function ask(...args: readonly string[]) {
  const lines = (await succeed(...args, "--json")).trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

export interface Ended extends Heard {
  readonly exitCode: number | null;
}

/** What a process writes until it ends. */
export function heardOf(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, out, err }));
  });
}

/** How a process of its own runs the command line: arguments of `node`. */
export function commandLine(args: readonly string[]): string[] {
  return [...cliArguments, ...args];
}

/** Runs the command line as a process of its own. */
export function spawnAccrete(
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, commandLine(args), {
    env: { ...process.env, DEBUG: "", ...options.env },
  });
  child.stdin.end(options.input ?? "");
  return heardOf(child);
}

/** Parses as the command line would, without doing anything. @returns what it complains about */
export async function complaint(words: readonly string[]): Promise<string | undefined> {
  const terminal = listeningTerminal();
  const program = buildProgram(terminal, "0.0.0");
  let reached = false;
  const disarm = (command: Command): void => {
    if (command.commands.length === 0 || command.registeredArguments.length > 0)
      command.action(() => {
        reached = true;
      });
    for (const each of command.commands) disarm(each);
  };
  disarm(program);
  try {
    await program.parseAsync([...words], { from: "user" });
    return reached ? undefined : "no command was reached";
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
}
