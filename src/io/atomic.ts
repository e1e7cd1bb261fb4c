/**
 * Writing files and folders whole or not at all: first beside the target under a name that begins with `.tmp-`,
 * flushed to disk, then renamed. Whatever moment the process or the machine dies at, the target is as before or new.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode, messageOf, StoreError, UnconfirmedError } from "../core/errors.ts";
import { noteOnce } from "./notes.ts";

/** Opens a file of ours to append to and to read; a link is refused, since what it points to is somebody else's. */
export const appendFlags =
  constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);

/** What a file is to hold: all of it, or pieces that are made one after the other. */
export type FileContent = Uint8Array | string | AsyncIterable<Uint8Array>;

/** What atomic writing asks of the file system; a test passes one that fails. */
export interface FileSystem {
  /** Creates a file that must not exist, writes it, and flushes it to disk. */
  writeNew(path: string, content: Uint8Array | string): Promise<void>;
  /** The same of pieces. */
  writePieces(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void>;
  makeFolder(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Gives a file a second name, which must not exist. */
  link(from: string, to: string): Promise<void>;
  /** Removes a file or a folder with all in it; missing is fine. */
  remove(path: string): Promise<void>;
  /** Flushes a folder's list of names, without which a rename may be lost with the power. */
  flushFolder(path: string): Promise<void>;
}

export interface WriteOptions {
  readonly fs?: FileSystem;
}

/** Windows, and some network file systems, cannot flush a folder. */
const cannotFlush = new Set(["EISDIR", "EPERM", "EINVAL", "ENOTSUP", "EACCES"]);

/** What file systems without hard links answer. */
const cannotLink = new Set(["EPERM", "ENOTSUP", "ENOSYS", "EMLINK", "EXDEV"]);

export const nodeFileSystem: FileSystem = {
  async writeNew(path, content) {
    const handle = await open(path, "wx");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async writePieces(path, pieces) {
    const handle = await open(path, "wx");
    try {
      for await (const piece of pieces) await handle.writeFile(piece);
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async makeFolder(path) {
    await mkdir(path, { recursive: true });
  },
  rename,
  async link(from, to) {
    try {
      await link(from, to);
    } catch (error) {
      if (!cannotLink.has(errorCode(error) ?? "")) throw error;
      await copyFile(from, to, constants.COPYFILE_EXCL);
    }
  },
  async remove(path) {
    await rm(path, { recursive: true, force: true });
  },
  async flushFolder(path) {
    try {
      const handle = await open(path, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (!cannotFlush.has(errorCode(error) ?? "")) throw error;
      // Windows never can; elsewhere it is the file system's, and worth a line.
      if (process.platform !== "win32")
        noteOnce(
          "flush",
          `${path}: this file system does not flush folders (${errorCode(error)}): what is written just before the power fails may be lost`,
        );
    }
  },
};

const reasons: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ["the disk is full", "Free some space, then try again."],
  EDQUOT: ["the disk quota is used up", "Free some space, then try again."],
  EROFS: ["the file system is read-only", "Choose another folder."],
  EACCES: ["permission denied", "Choose a folder that you may write to."],
  EPERM: ["permission denied", "Choose a folder that you may write to."],
  ENOENT: ["the folder it lies in is missing", "Make that folder first."],
  EIO: ["the disk reports an error", "Look after the disk before anything else is written to it."],
};

/** @param what stands there now, e.g. `the file there before is unchanged` */
function writeError(path: string, cause: unknown): StoreError {
  const code = errorCode(cause);
  const [reason, hint] = reasons[code ?? ""] ?? [messageOf(cause), ""];
  return new StoreError(`${path}: cannot be written: ${reason}; what stood there before is unchanged`, {
    cause,
    exitCode: 1,
    ...(hint && { hint }),
  });
}

function temporaryBeside(path: string): string {
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  return join(dirname(path), `.tmp-${basename(path)}-${unique}`);
}

/** Runs `write`; where it fails, removes the temporary and says why. */
async function writeThrough(
  fs: FileSystem,
  path: string,
  temporary: string,
  write: () => Promise<void>,
): Promise<void> {
  try {
    await write();
  } catch (cause) {
    // What cannot be removed lies under a `.tmp-` name and harms nothing; the first error is the one to tell.
    await fs.remove(temporary).catch(() => {});
    throw writeError(path, cause);
  }
}

/**
 * Writes or replaces a file atomically; its folder must exist.
 *
 * @throws StoreError (exit 1) if it cannot be written (disk full, no permission): the old file is untouched then.
 * @throws UnconfirmedError if it is written, but its folder could not be flushed
 */
export function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): Promise<void> {
  return writeFilesAtomic(new Map([[path, content]]), options);
}

/** As {@link writeFileAtomic}, of pieces that are made one after the other. */
export async function writeStreamAtomic(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = temporaryBeside(path);
  await writeThrough(nodeFileSystem, path, temporary, async () => {
    await nodeFileSystem.writePieces(temporary, pieces);
    await rename(temporary, path);
  });
  await flushName(nodeFileSystem, path);
}

/** As {@link writeFileAtomic}, each by itself, of files in one folder: its list of names is flushed once. */
export async function writeFilesAtomic(
  files: ReadonlyMap<string, Uint8Array | string>,
  { fs = nodeFileSystem }: WriteOptions = {},
): Promise<void> {
  for (const [path, content] of files) {
    const temporary = temporaryBeside(path);
    await writeThrough(fs, path, temporary, async () => {
      await fs.writeNew(temporary, content);
      await fs.rename(temporary, path);
    });
  }
  const [first] = files.keys();
  if (first !== undefined) await flushName(fs, first);
}

/**
 * Writes a file atomically that must not be there yet.
 * @returns false where it is there, which stays
 * @throws StoreError as `writeFileAtomic`
 */
export async function writeNewFile(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): Promise<boolean> {
  const fs = options.fs ?? nodeFileSystem;
  const temporary = temporaryBeside(path);
  let made = true;
  await writeThrough(fs, path, temporary, async () => {
    await fs.writeNew(temporary, content);
    await fs.link(temporary, path).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error;
      made = false;
    });
  });
  // Under its temporary name it harms nothing.
  await fs.remove(temporary).catch(() => {});
  if (made) await flushName(fs, path);
  return made;
}

/** Where the old folder waits while the new one takes its name. */
function setAside(path: string): string {
  return join(dirname(path), `.accrete-old-${basename(path)}`);
}

/** Renames where the source exists; says whether it did. */
async function renameIfThere(fs: FileSystem, from: string, to: string): Promise<boolean> {
  try {
    await fs.rename(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Makes the new name last; too late to say that nothing changed. */
async function flushName(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.flushFolder(dirname(path));
  } catch (cause) {
    throw new UnconfirmedError(`${path}: is written, but the disk did not confirm it`, {
      cause,
      exitCode: 1,
    });
  }
}

// POSIX has no rename over a full folder. Between the two renames the target has no folder, so a reader that
// finds none asks `restoreFolder`, as the next write does.
async function swapIn(fs: FileSystem, temporary: string, path: string): Promise<void> {
  const old = setAside(path);
  const replaced = await renameIfThere(fs, path, old);
  try {
    await fs.rename(temporary, path);
  } catch (error) {
    if (replaced) await fs.rename(old, path);
    throw error;
  }
}

/**
 * Brings back the folder that an interrupted `writeFolderAtomic` had set aside, or removes it where the new one
 * is in place. Only for the one process that writes there.
 */
export async function restoreFolder(path: string, options: WriteOptions = {}): Promise<void> {
  const fs = options.fs ?? nodeFileSystem;
  const old = setAside(path);
  try {
    await renameIfThere(fs, old, path);
  } catch (error) {
    // The target exists and is not empty: the new folder is in place.
    if (!["ENOTEMPTY", "EEXIST", "EPERM"].includes(errorCode(error) ?? "")) throw error;
    await fs.remove(old);
  }
}

export interface WriteFolderOptions extends WriteOptions {
  /** Whether a folder that holds these names may be replaced; default: none, only an empty one. */
  readonly replaces?: (names: readonly string[]) => boolean;
}

/** @throws StoreError NAME_TAKEN as `writeFolderAtomic`, before anything is written */
export async function refuseForeign(
  path: string,
  replaces: (names: readonly string[]) => boolean,
): Promise<void> {
  const names = await readdir(path).catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return [];
    throw new StoreError(`${path}: ${errorCode(cause) === "ENOTDIR" ? "is a file" : "cannot be read"}`, {
      cause,
    });
  });
  if (names.length === 0 || replaces(names)) return;
  throw new StoreError(`${path}: exists, and holds what would be lost: ${names.slice(0, 3).join(", ")}`, {
    code: "NAME_TAKEN",
    hint: "Choose another folder.",
  });
}

/**
 * Writes a folder atomically, with exactly these files; one that is there is replaced only as `replaces` says.
 *
 * @param files path inside the folder (`/` between parts) → content
 * @throws StoreError (exit 1) as `writeFileAtomic`, and for a path that leads out of the folder; NAME_TAKEN (exit 2)
 *   where the folder holds something else
 */
export async function writeFolderAtomic(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  options: WriteFolderOptions = {},
): Promise<void> {
  const { fs = nodeFileSystem, replaces = () => false } = options;
  for (const name of files.keys()) {
    if (name.split("/").some((part) => part === "" || part === "." || part === ".."))
      throw new StoreError(`${path}: ${JSON.stringify(name)} is no path inside the folder`, { exitCode: 1 });
  }
  const temporary = temporaryBeside(path);
  await writeThrough(fs, path, temporary, async () => {
    await restoreFolder(path, { fs });
  });
  await refuseForeign(path, replaces);
  await writeThrough(fs, path, temporary, async () => {
    await fs.makeFolder(temporary);
    const folders = new Set([temporary]);
    for (const [name, content] of files) {
      const file = join(temporary, name);
      await fs.makeFolder(dirname(file));
      if (typeof content === "string" || content instanceof Uint8Array) await fs.writeNew(file, content);
      else await fs.writePieces(file, content);
      for (let folder = dirname(file); folder !== temporary; folder = dirname(folder)) folders.add(folder);
    }
    for (const folder of folders) await fs.flushFolder(folder);
    await swapIn(fs, temporary, path);
  });
  await flushName(fs, path);
  // Where this fails, the next write removes it.
  await fs.remove(setAside(path)).catch(() => {});
}
