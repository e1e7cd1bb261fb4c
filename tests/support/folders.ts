/** Folders that go away by themselves, and what lies in them. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { onTestFinished } from "vitest";

/** A folder that goes away with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-test-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const made: string[] = [];

/** What `cleanUp` does after every test file. */
export function removeFolders(): void {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A fresh folder that goes away with the test file's last test. */
export function folderOfTestFile(kind: string): string {
  const folder = mkdtempSync(join(tmpdir(), `accrete-${kind}-`));
  made.push(folder);
  return folder;
}

/** A folder of the test file's with these files, in folders of their own where the name has slashes. */
export function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = folderOfTestFile("files");
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** A path that does not exist yet. */
export function freshTarget(): string {
  return join(folderOfTestFile("target"), "made");
}

/** Every file below a folder, path inside it → bytes in hex. @param kept whether a file of that name is wanted */
export async function bytesBelow(
  folder: string,
  kept: (name: string) => boolean = () => true,
): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && kept(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const read = paths.map(async (path) => [relative(folder, path), await readFile(path, "hex")] as const);
  return Object.fromEntries(await Promise.all(read));
}

let deadPid: number | undefined;

/** What a process that died left in its lock. */
export function deadOwner(): { readonly pid: number; readonly hostname: string; readonly startedAt: string } {
  deadPid ??= spawnSync(process.execPath, ["-e", ""]).pid;
  return { pid: deadPid, hostname: hostname(), startedAt: "2026-01-01T00:00:00.000Z" };
}
