import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { isIP } from "node:net";
import { basename, join, resolve } from "node:path";
import { errorCode } from "../../core/errors.ts";
import { cacheFolder } from "../../io/cacheFolder.ts";
import type { Tokens } from "../../server/guard.ts";
import type { LogEntry } from "../../server/log.ts";
import { defaultLimits, type Limits } from "../../server/service/limits.ts";
import { isStoreName } from "../../store/sources/names.ts";
import { openSource, storesAt } from "../../store/sources/openSource.ts";
import { UsageError } from "../terminal/failure.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface ServeFlags {
  readonly host: string;
  readonly port: number;
  readonly readOnly?: boolean;
  readonly keepTexts?: number;
  readonly limit?: readonly string[];
  readonly cors?: readonly string[];
  readonly trustProxy?: boolean;
  readonly allowAnonymous?: boolean;
  readonly backbone?: string;
  readonly runs?: string;
  readonly queue?: string;
  readonly stores?: string;
  readonly memory?: number;
  readonly cache?: string;
}

/** `name=folder`, or a folder, which is called by its own name. */
function readStores(words: readonly string[]): Readonly<Record<string, string>> {
  const stores = new Map<string, string>();
  for (const word of words) {
    const [, named, folder] = /^([^=/]+)=(.+)$/.exec(word) ?? [];
    const isNamed = named !== undefined && folder !== undefined && !existsSync(word);
    const path = isNamed ? folder : word;
    const name = isNamed ? named : basename(resolve(word));
    if (!isStoreName(name))
      throw new UsageError(`serve: "${name}" is no name for a store: letters, digits, ".", "_" and "-" are`, {
        hint: `accrete serve name=${path}`,
      });
    if (stores.has(name))
      throw new UsageError(`serve: two stores are called "${name}"`, {
        hint: `Name one otherwise: accrete serve another=${path}`,
      });
    stores.set(name, path);
  }
  return Object.fromEntries(stores);
}

/** @throws StoreError where nothing can be read there */
async function requirePlace(place: string, cache: string): Promise<void> {
  await using _ = await openSource(storesAt(place, cache), "reading");
}

const isLimit = (name: string): name is keyof Limits => Object.hasOwn(defaultLimits, name);

function readLimits(words: readonly string[] = []): Partial<Limits> {
  const limits: { -readonly [K in keyof Limits]?: number } = {};
  for (const word of words) {
    const [, name = "", text = ""] = /^(\w+)=(\d+(?:\.\d+)?)$/.exec(word) ?? [];
    if (!isLimit(name))
      throw new UsageError(`serve --limit ${word}: expected name=number`, {
        hint: `Names: ${Object.keys(defaultLimits).join(", ")}.`,
      });
    limits[name] = Number(text);
  }
  return limits;
}

/** A secret from the environment, or from the file that `<name>_FILE` names. */
function readSecret(name: string): string | undefined {
  const { [name]: given, [`${name}_FILE`]: file } = process.env;
  const secret = file === undefined ? given : readFileSync(file, "utf8");
  if (secret === undefined) return undefined;
  const trimmed = secret.trim();
  if (/^\S+$/.test(trimmed)) return trimmed;
  throw new UsageError(`serve: ${file === undefined ? name : `${name}_FILE`} holds no token`, {
    hint: "A token is one word: openssl rand -hex 32 makes one.",
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function refuseOpenDoor({ host, allowAnonymous, readOnly }: ServeFlags, { read, change }: Tokens): void {
  const isSafe = read !== undefined && (change !== undefined || readOnly === true);
  if (isLoopback(host) || isSafe || allowAnonymous === true) return;
  throw new UsageError(`serve --host ${host}: others could ask and change the stores without a token`, {
    hint: "Set ACCRETE_READ_TOKEN and ACCRETE_CHANGE_TOKEN (or …_FILE), or say --allow-anonymous.",
  });
}

/** The model that ships: what a store is begun on where nobody says otherwise. */
const defaultBackbone = "accrete-mini";

/** Nothing is there, or an empty folder. */
async function isMissing(folder: string): Promise<boolean> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  });
  return entries.length === 0;
}

/** Begins the stores that are not there, once all others are known to be stores. */
async function beginMissing(
  stores: Readonly<Record<string, string>>,
  { readOnly = false, backbone = defaultBackbone }: ServeFlags,
  terminal: Terminal,
): Promise<void> {
  const [{ createStore }, { readStore }] = await Promise.all([
    import("../../store/create.ts"),
    import("../../workspace/reading.ts"),
  ]);
  const missing: string[] = [];
  for (const path of Object.values(stores))
    if (!readOnly && (await isMissing(path))) missing.push(path);
    else await readStore(resolve(path));
  for (const path of missing) {
    await createStore(path, { backbone });
    terminal.out(`${shortPath(path)} was not there: began an empty store on ${backbone}.\n`);
  }
}

/** On a terminal a line a request would hide the rest: what went well is left out. */
function isWorthALine({ level, message }: LogEntry, { errIsTty }: Terminal): boolean {
  return !errIsTty || level !== "info" || message !== "request";
}

export async function serveCommand(
  words: readonly string[],
  flags: ServeFlags,
  terminal: Terminal,
): Promise<void> {
  const stores = readStores(words);
  const hasNothing = [flags.runs, flags.queue, flags.stores].every((flag) => flag === undefined);
  if (words.length === 0 && hasNothing)
    throw new UsageError("serve: no store and no run to serve", {
      hint: "Name a folder; one that is not there is begun: accrete serve demo-store",
    });
  if (words.length > 0 && flags.stores !== undefined)
    throw new UsageError("serve: stores are named one by one, and with --stores as well", {
      hint: `Leave one out. Stores that do not lie in ${flags.stores} can be linked there: ln -s.`,
    });
  const tokens: Tokens = {
    read: readSecret("ACCRETE_READ_TOKEN"),
    change: readSecret("ACCRETE_CHANGE_TOKEN"),
  };
  refuseOpenDoor(flags, tokens);
  const limits = readLimits(flags.limit);
  const { host, port, readOnly, keepTexts, cors, trustProxy, backbone, runs, memory } = flags;
  const [{ createServer }, { jsonLog }, { listen }, { parseKey }] = await Promise.all([
    import("../../server/server.ts"),
    import("../../server/log.ts"),
    import("../../server/listen.ts"),
    import("../../server/service/kept.ts"),
  ]);
  const key = readSecret("ACCRETE_KEEP_KEY");
  await using queue =
    flags.queue === undefined
      ? undefined
      : await (await import("../../sweep/queue/watch.ts")).openQueueWatch(flags.queue);
  const cache = flags.cache ?? join(cacheFolder(), "stores");
  if (flags.stores !== undefined) await requirePlace(flags.stores, cache);
  await beginMissing(stores, flags, terminal);
  const write = jsonLog((line) => terminal.err(line));
  const log = (entry: LogEntry) => {
    if (isWorthALine(entry, terminal)) write(entry);
  };
  using interrupt = new Interrupt();
  const server = createServer(flags.stores ?? stores, {
    limits,
    tokens,
    log,
    isLoopback: isLoopback(host),
    readOnly,
    origins: cors,
    trustsProxy: trustProxy,
    backbone,
    runs,
    queue,
    memoryBytes: memory,
    cache,
    ...(keepTexts !== undefined && {
      keepTexts: { days: keepTexts, key: key === undefined ? key : parseKey(key) },
    }),
  });
  try {
    const listening = await listen(server, { host, port });
    log({ level: "info", message: "listening", url: listening.url });
    try {
      await server.opened;
      log({ level: "info", message: "ready", ms: Math.round(1000 * process.uptime()) });
      const asks = tokens.read === undefined && tokens.change === undefined ? "" : " It asks for the token.";
      terminal.out(`Open ${listening.url}/ in a browser.${asks} Ctrl-C stops the server.\n`);
      const ended = await Promise.race([untilAborted(interrupt.signal), server.service.died]);
      // Whoever started this process starts it again.
      if (ended !== undefined) throw ended;
    } finally {
      log({ level: "info", message: "stopping" });
      await listening.stop();
    }
  } finally {
    await server[Symbol.asyncDispose]();
  }
  await interrupt.waitForDuplicateSignal();
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
