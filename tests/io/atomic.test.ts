import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import {
  type FileSystem,
  nodeFileSystem,
  restoreFolder,
  writeFileAtomic,
  writeFolderAtomic,
} from "../../src/io/atomic.ts";
import { temporaryFolder } from "../support/folders.ts";

let folder = "";
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** An error as Node's file calls throw it. */
class SystemError extends StoreError {
  override readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** A disk that takes `files` files and then half of the next one. */
function fullDisk(files: number): FileSystem {
  let left = files;
  return {
    ...nodeFileSystem,
    async writeNew(path, content) {
      if (left-- > 0) return nodeFileSystem.writeNew(path, content);
      await writeFile(path, content.slice(0, content.length / 2));
      throw new SystemError("ENOSPC");
    },
  };
}

function failingRename(match: RegExp, code: string): FileSystem {
  return {
    ...nodeFileSystem,
    async rename(from, to) {
      if (match.test(from)) throw new SystemError(code);
      await rename(from, to);
    },
  };
}

async function contents(path: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile()) result[file.slice(path.length + 1)] = await readFile(file, "utf8");
  }
  return result;
}

describe("writeFileAtomic", () => {
  test("writes and replaces, and leaves nothing else", async () => {
    const path = join(folder, "a.json");
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, new TextEncoder().encode("two"));
    expect(await contents(folder)).toEqual({ "a.json": "two" });
  });

  test("a full disk leaves the old file, nothing half-written, and says what to do", async () => {
    const path = join(folder, "a.json");
    await writeFileAtomic(path, "the old content");
    const failed = writeFileAtomic(path, "the new content", { fs: fullDisk(0) });
    await expect(failed).rejects.toThrow(StoreError);
    await expect(failed).rejects.toThrow(`${path}: cannot be written: the disk is full`);
    await expect(failed).rejects.toMatchObject({
      exitCode: 1,
      hint: expect.stringContaining("Free some space"),
    });
    expect(await contents(folder)).toEqual({ "a.json": "the old content" });
  });

  test("a failed rename leaves the old file too", async () => {
    const path = join(folder, "a.json");
    await writeFileAtomic(path, "old");
    const failed = writeFileAtomic(path, "new", { fs: failingRename(/tmp/, "EACCES") });
    await expect(failed).rejects.toThrow(/permission denied/);
    expect(await contents(folder)).toEqual({ "a.json": "old" });
  });

  test("a folder that is not there is named", async () => {
    await expect(writeFileAtomic(join(folder, "no", "a"), "x")).rejects.toThrow(
      /the folder it lies in is missing/,
    );
  });

  test("a disk that does not confirm the new name is told", async () => {
    const fs: FileSystem = { ...nodeFileSystem, flushFolder: () => Promise.reject(new SystemError("EIO")) };
    await expect(writeFileAtomic(join(folder, "a"), "x", { fs })).rejects.toThrow(/did not confirm/);
  });
});

describe("writeFolderAtomic", () => {
  const old = new Map([
    ["a", "old a"],
    ["gone", "old"],
  ]);
  const fresh = new Map([
    ["a", "new a"],
    ["sub/b", "new b"],
  ]);

  const replacing = { replaces: (names: readonly string[]) => names.includes("gone") };

  test("a folder that holds something is not replaced unless the caller knows it", async () => {
    const path = join(folder, "mine");
    await mkdir(path);
    await writeFile(join(path, "notes"), "precious");
    for (const options of [{}, replacing])
      await expect(writeFolderAtomic(path, fresh, options)).rejects.toMatchObject({
        code: "NAME_TAKEN",
        exitCode: 2,
        message: expect.stringMatching(/mine: exists, and holds what would be lost: notes/),
      });
    expect(await contents(folder)).toEqual({ "mine/notes": "precious" });
  });

  test("replaces a folder by exactly the new files", async () => {
    const path = join(folder, "task-0");
    await writeFolderAtomic(path, old);
    await writeFolderAtomic(path, fresh, replacing);
    expect(await contents(folder)).toEqual({ "task-0/a": "new a", "task-0/sub/b": "new b" });
    expect(await readdir(folder)).toEqual(["task-0"]);
  });

  test.each([0, 1])("a disk that is full after %i files leaves the old folder", async (files) => {
    const path = join(folder, "task-0");
    await writeFolderAtomic(path, old);
    const failed = writeFolderAtomic(path, fresh, { ...replacing, fs: fullDisk(files) });
    await expect(failed).rejects.toThrow(/task-0: cannot be written: the disk is full/);
    expect(await contents(folder)).toEqual({ "task-0/a": "old a", "task-0/gone": "old" });
    expect(await readdir(folder)).toEqual(["task-0"]);
  });

  test("where the new folder cannot take its name, the old one gets it back", async () => {
    const path = join(folder, "task-0");
    await writeFolderAtomic(path, old);
    const fs = failingRename(/\.tmp-/, "EACCES");
    await expect(writeFolderAtomic(path, fresh, { ...replacing, fs })).rejects.toThrow();
    expect(await contents(folder)).toEqual({ "task-0/a": "old a", "task-0/gone": "old" });
    expect(await readdir(folder)).toEqual(["task-0"]);
  });

  test("killed between the two renames, the old folder is brought back", async () => {
    const path = join(folder, "task-0");
    await writeFolderAtomic(path, old);
    await rename(path, join(folder, ".accrete-old-task-0"));
    await restoreFolder(path);
    expect(await contents(folder)).toEqual({ "task-0/a": "old a", "task-0/gone": "old" });
  });

  test("killed after the second rename, the old folder is removed", async () => {
    const path = join(folder, "task-0");
    await writeFolderAtomic(path, fresh);
    await mkdir(join(folder, ".accrete-old-task-0"));
    await writeFile(join(folder, ".accrete-old-task-0", "a"), "old a");
    await restoreFolder(path);
    expect(await contents(folder)).toEqual({ "task-0/a": "new a", "task-0/sub/b": "new b" });
  });

  test.each(["../x", "/x", "a//b", ""])("refuses the path %j", async (name) => {
    await expect(writeFolderAtomic(join(folder, "t"), new Map([[name, "x"]]))).rejects.toThrow(
      /no path inside/,
    );
    expect(await readdir(folder)).toEqual([]);
  });
});
