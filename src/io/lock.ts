/**
 * One writer a folder: the operating system's lock on a file in it, which ends with the process that holds it, and holds
 * across containers that share the volume. What stands in the file, process and host, is for messages.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { errorCode, messageOf, StoreError } from "../core/errors.ts";
import { noteOnce } from "../core/notes.ts";

const ownerSchema = z.object({
  pid: z.number().int().positive(),
  hostname: z.string(),
  /** When the lock was taken, ISO 8601. */
  startedAt: z.string(),
  /** Boot id and start tick of the process where /proc tells them: a pid comes again, this pair does not. */
  processStart: z.string().optional(),
  /** The owner also holds the operating system's lock on the file, which ends with the process wherever that runs. */
  held: z.literal("os").optional(),
});

export type LockOwner = Readonly<z.infer<typeof ownerSchema>>;

export interface FolderLock extends AsyncDisposable {
  readonly owner: LockOwner;
  /** The dead owner whose lock was broken, for a line to the user. */
  readonly brokenFrom?: LockOwner;
  /** Whether the operating system vouches that nobody else holds it. */
  readonly certain: boolean;
}

export const lockFile = "lock.json";

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // A process that has just gone answers ESRCH from /proc.
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** `undefined` where there is no /proc, "" where the process is gone or a zombie. */
async function readProcessStart(pid: number): Promise<string | undefined> {
  const bootId = await readText("/proc/sys/kernel/random/boot_id").catch(() => undefined);
  if (bootId === undefined) return undefined;
  const stat = await readText(`/proc/${pid}/stat`);
  if (stat === undefined) return "";
  // The command's name stands in parentheses and may hold spaces; state is field 3, start tick field 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return "";
  return `${bootId.trim()}:${fields[19]}`;
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

/** A process of another host counts as alive: nothing here can tell. */
async function isAlive(owner: LockOwner): Promise<boolean> {
  if (owner.hostname !== hostname()) return true;
  if (!signalReaches(owner.pid)) return false;
  const start = await readProcessStart(owner.pid);
  if (start === undefined) return true;
  if (owner.processStart === undefined) return start !== "";
  return start === owner.processStart;
}

function parseOwner(text: string): LockOwner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** What a writer that died in the middle left of its record, or before it: not somebody else's file. */
function isTorn(text: string): boolean {
  const start = '{\n  "pid":';
  return start.startsWith(text.slice(0, start.length));
}

type TryLock = (fd: number, offset: number, length: number, options: { readonly shared: boolean }) => boolean;

/** Far behind the record: where locks are mandatory, others read it all the same. */
const lockedByte = 2 ** 30;
/** What file systems answer that have no locks. */
const noLocks = new Set(["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"]);

async function loadTryLock(): Promise<TryLock | undefined> {
  try {
    return (await import("fs-native-extensions")).tryLock;
  } catch (cause) {
    noteOnce("lock", `this platform has no file locks (${messageOf(cause).split("\n")[0]}): ${weaker}`);
    return undefined;
  }
}

const weaker = "that one process alone writes to a folder rests on process ids, which other hosts do not see";

/** @returns whether this handle has the lock now; undefined where there are none */
async function lockHandle(handle: FileHandle, shared: boolean): Promise<boolean | undefined> {
  const tryLock = await loadTryLock();
  try {
    return tryLock?.(handle.fd, lockedByte, 1, { shared });
  } catch (error) {
    if (errorCode(error) === "EACCES") return false;
    if (!noLocks.has(errorCode(error) ?? "")) throw error;
    noteOnce("lock", `this file system has no locks (${errorCode(error)}): ${weaker}`);
    return undefined;
  }
}

type Attempt =
  | { readonly handle: FileHandle; readonly locked: boolean; readonly brokenFrom: LockOwner | undefined }
  | { readonly handle: undefined; readonly text: string; readonly owner: LockOwner | undefined };

const held = (text: string, owner = parseOwner(text)): Attempt => ({ handle: undefined, text, owner });

/** Whether what stands in a file that nobody has locked forbids to take it all the same. */
async function forbids(text: string, owner: LockOwner | undefined, locked: boolean): Promise<boolean> {
  if (owner === undefined) return !isTorn(text);
  // An owner with the system's lock would have it still; one without, an earlier version's, is asked for.
  return owner.held === "os" && locked ? false : await isAlive(owner);
}

/** Whether a file still has its name: its last owner may have taken it away between opening and locking. */
async function hasName(handle: FileHandle, path: string): Promise<boolean> {
  const [ours, there] = [await handle.stat(), await stat(path).catch(() => undefined)];
  return there !== undefined && there.ino === ours.ino && there.dev === ours.dev;
}

// A link is not followed: what it points to is somebody else's.
const openFlags = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);

async function attempt(path: string): Promise<Attempt> {
  const handle = await open(path, openFlags, 0o666);
  let kept = false;
  try {
    const locked = await lockHandle(handle, false);
    const text = (await readText(path)) ?? "";
    if (locked === false) return held(text);
    // Whoever comes next makes a new file.
    if (!(await hasName(handle, path))) return held("");
    const owner = parseOwner(text);
    if (await forbids(text, owner, locked === true)) return held(text, owner);
    kept = true;
    return { handle, locked: locked === true, brokenFrom: owner };
  } finally {
    if (!kept) await handle.close();
  }
}

export interface LockOptions {
  /** Whether another folder would do as well, and may be advised; default true. */
  readonly elsewhere?: boolean;
  /** How long another writer is waited for; default 0: it is not. */
  readonly waitMs?: number;
  /** Told once whom this waits for. */
  readonly onWait?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

function nameOf({ pid, hostname: host }: LockOwner): string {
  const mine = pid === process.pid && host === hostname();
  return `process ${pid} on ${host}${mine ? " (this very process)" : ""}`;
}

function inUse(
  folder: string,
  text: string,
  owner: LockOwner | undefined,
  { elsewhere = true }: LockOptions = {},
): StoreError {
  const path = join(folder, lockFile);
  const code = "STORE_BUSY";
  if (owner === undefined && !isTorn(text))
    return new StoreError(`${path}: cannot be understood: ${JSON.stringify(text.slice(0, 80))}`, {
      code,
      hint: `If no process is writing to ${folder}, delete ${path}.`,
    });
  const who = owner === undefined ? "another process" : `${nameOf(owner)}, since ${owner.startedAt}`;
  const certain = owner === undefined || owner.held === "os" || owner.hostname === hostname();
  return new StoreError(`${folder}: is being written by ${who}`, {
    code,
    hint: certain
      ? `Wait for it${elsewhere ? ", stop it, or choose another folder" : ", or stop it"}.`
      : `Wait for it${elsewhere ? ", or choose another folder" : ""}. If that process is gone, delete ${path}.`,
  });
}

/**
 * Looks whether the folder is taken, without taking it.
 *
 * @throws StoreError (exit 2) as `acquireLock`; a dead owner's lock, none, or no folder are fine
 */
export async function refuseHeld(folder: string): Promise<void> {
  const path = join(folder, lockFile);
  const handle = await open(path, "r").catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return undefined;
    throw new StoreError(`${path}: cannot be opened`, { cause: error, exitCode: 1 });
  });
  if (handle === undefined) return;
  try {
    const locked = await lockHandle(handle, true);
    const text = (await readText(path)) ?? "";
    const owner = parseOwner(text);
    if (locked === false || (await forbids(text, owner, locked === true))) throw inUse(folder, text, owner);
  } finally {
    await handle.close();
  }
}

const pollMs = 50;
/** Whoever only looks holds a lock for an instant, which is no reason to refuse. */
const leastWaitMs = 3 * pollMs;

async function takeInTime(folder: string, path: string, options: LockOptions) {
  const { waitMs = 0, onWait, signal } = options;
  const until = performance.now() + Math.max(waitMs, leastWaitMs);
  for (let told = waitMs <= leastWaitMs; ; ) {
    const taken = await attempt(path).catch((cause: unknown) => {
      const code = errorCode(cause);
      const readOnly = code === "EROFS" || code === "EACCES" || code === "EPERM";
      throw new StoreError(`${folder}: cannot be locked${readOnly ? ": it cannot be written to" : ""}`, {
        cause,
        exitCode: 1,
      });
    });
    if (taken.handle !== undefined) return taken;
    if (performance.now() >= until) throw inUse(folder, taken.text, taken.owner, options);
    if (!told && performance.now() >= until - waitMs + leastWaitMs) {
      const who = taken.owner === undefined ? "another process" : nameOf(taken.owner);
      onWait?.(`waiting for ${who}, which is writing to ${folder}`);
      told = true;
    }
    await setTimeout(pollMs, undefined, signal && { signal });
  }
}

/** It only serves messages: a full disk is no reason to refuse, since purging a store is what frees it. */
async function writeRecord(handle: FileHandle, owner: LockOwner): Promise<void> {
  await handle
    .truncate(0)
    .then(() => handle.write(`${JSON.stringify(owner, null, 2)}\n`, 0))
    .catch(() => {});
}

/** Where there are no locks: of several that write their record at once, the last one's stays. */
async function outlastOthers(folder: string, path: string, { pid }: LockOwner): Promise<void> {
  await setTimeout(2 * pollMs);
  const text = (await readText(path)) ?? "";
  const owner = parseOwner(text);
  if (owner !== undefined && owner.pid !== pid) throw inUse(folder, text, owner);
}

/**
 * Takes the folder for this process until disposed; the folder must exist. What a dead owner left is no obstacle.
 *
 * @throws StoreError (exit 2, code STORE_BUSY) naming process and host if a live process still holds it after the wait.
 */
export async function acquireLock(folder: string, options: LockOptions = {}): Promise<FolderLock> {
  const processStart = await readProcessStart(process.pid);
  const self = {
    pid: process.pid,
    hostname: hostname(),
    startedAt: new Date().toISOString(),
    ...(processStart && { processStart }),
  };
  const path = join(folder, lockFile);
  const { handle, locked, brokenFrom } = await takeInTime(folder, path, options);
  const owner: LockOwner = { ...self, ...(locked && { held: "os" }) };
  await writeRecord(handle, owner);
  if (!locked) await outlastOthers(folder, path, owner);
  // What was done under the lock is done. A file that cannot be removed is nobody's as soon as it is closed.
  const release = async () => {
    try {
      if (await hasName(handle, path)) await rm(path, { force: true });
    } catch {
    } finally {
      await handle.close().catch(() => {});
    }
  };
  return { owner, certain: locked, ...(brokenFrom && { brokenFrom }), [Symbol.asyncDispose]: release };
}
