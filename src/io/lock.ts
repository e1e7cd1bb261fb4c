/** One writer a folder: a lock file that names its process and host, and is broken when that process is dead. */
import { randomBytes } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { errorCode, StoreError } from "../core/errors.ts";
import { sha256 } from "./hash.ts";

const ownerSchema = z.object({
  pid: z.number().int().positive(),
  hostname: z.string(),
  /** When the lock was taken, ISO 8601. */
  startedAt: z.string(),
  /** Boot id and start tick of the process where /proc tells them: a pid comes again, this pair does not. */
  processStart: z.string().optional(),
});

export type LockOwner = Readonly<z.infer<typeof ownerSchema>>;

export interface FolderLock extends AsyncDisposable {
  readonly owner: LockOwner;
  /** The dead owner whose lock was broken, for a line to the user. */
  readonly brokenFrom?: LockOwner;
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

/** Creates a lock with its content in one step; false where one exists. */
async function create(path: string, text: string): Promise<boolean> {
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const temporary = join(dirname(path), `.tmp-lock-${unique}`);
  const handle = await open(temporary, "wx");
  try {
    await handle.writeFile(text);
    await handle.sync();
    // A hard link fails where the name exists, like O_EXCL, but is never seen half-written.
    await link(temporary, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    if (["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"].includes(errorCode(error) ?? ""))
      return createPlainly(path, text);
    throw error;
  } finally {
    await handle.close();
    await rm(temporary, { force: true });
  }
}

/** For file systems without hard links. */
async function createPlainly(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(text);
    await handle.close();
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** Takes a lock away if it still says `text`. Only for its owner, and for who alone may break it. */
async function removeLock(path: string, text: string): Promise<void> {
  if ((await readText(path)) === text) await rm(path, { force: true });
}

/**
 * Takes a dead owner's lock away. Of many that find it at once one alone may: the one that holds a second lock, whose
 * name follows from the first one's and what that says. So nobody takes away what another has put in its place.
 */
async function breakLock(path: string, held: string, text: string): Promise<void> {
  const name = sha256(`${basename(path)} ${held}`).slice(0, 16);
  const breaking = join(dirname(path), `.tmp-lock-${name}`);
  if ((await take(breaking, text)).state !== "taken") return;
  await removeLock(path, held);
  await removeLock(breaking, text);
}

type Taking =
  | { readonly state: "taken"; readonly brokenFrom: LockOwner | undefined }
  | { readonly state: "held"; readonly text: string; readonly owner: LockOwner | undefined }
  | { readonly state: "contended" };

/** Every round but the last saw a lock vanish or be broken, so a few rounds are many. */
const ROUNDS = 10;

async function take(path: string, text: string): Promise<Taking> {
  let brokenFrom: LockOwner | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    if (await create(path, text)) return { state: "taken", brokenFrom };
    const held = await readText(path);
    if (held === undefined) continue;
    const owner = parseOwner(held);
    if (owner === undefined || (await isAlive(owner))) return { state: "held", text: held, owner };
    await breakLock(path, held, text);
    brokenFrom = owner;
    // Where another one is breaking it, it needs a moment.
    await setTimeout(2 ** round);
  }
  return { state: "contended" };
}

export interface LockOptions {
  /** Whether another folder would do as well, and may be advised; default true. */
  readonly elsewhere?: boolean;
}

function inUse(
  folder: string,
  text: string,
  owner: LockOwner | undefined,
  { elsewhere = true }: LockOptions = {},
): StoreError {
  const path = join(folder, lockFile);
  if (owner === undefined)
    return new StoreError(`${path}: cannot be understood: ${JSON.stringify(text.slice(0, 80))}`, {
      hint: `If no process is writing to ${folder}, delete ${path}.`,
    });
  const mine = owner.pid === process.pid && owner.hostname === hostname();
  const who = `process ${owner.pid} on ${owner.hostname}${mine ? " (this very process)" : ""}`;
  return new StoreError(`${folder}: is being written by ${who}, since ${owner.startedAt}`, {
    hint:
      owner.hostname === hostname()
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
  const held = await readText(join(folder, lockFile));
  if (held === undefined) return;
  const holder = parseOwner(held);
  if (holder === undefined || (await isAlive(holder))) throw inUse(folder, held, holder);
}

/**
 * Takes the folder for this process until disposed; the folder must exist. A dead owner's lock is broken.
 *
 * @throws StoreError (exit 2) naming process and host if a live process holds it, or one of another host.
 */
export async function acquireLock(folder: string, options: LockOptions = {}): Promise<FolderLock> {
  const processStart = await readProcessStart(process.pid);
  const owner: LockOwner = {
    pid: process.pid,
    hostname: hostname(),
    startedAt: new Date().toISOString(),
    ...(processStart && { processStart }),
  };
  const text = `${JSON.stringify(owner, null, 2)}\n`;
  const path = join(folder, lockFile);
  const taking = await take(path, text).catch((cause: unknown) => {
    throw new StoreError(`${folder}: cannot be locked`, { cause, exitCode: 1 });
  });
  if (taking.state === "held") throw inUse(folder, taking.text, taking.owner, options);
  if (taking.state === "contended")
    throw new StoreError(`${folder}: cannot be locked: other processes keep taking and leaving the lock`);
  const { brokenFrom } = taking;
  const release = () => removeLock(path, text);
  return { owner, ...(brokenFrom && { brokenFrom }), [Symbol.asyncDispose]: release };
}
