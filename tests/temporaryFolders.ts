import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const made: string[] = [];

// Registered with the test file that imports this: folders may be made while tests are still being collected.
afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A fresh folder that goes away with the test file's last test. */
export function folderOfTestFile(kind: string): string {
  const folder = mkdtempSync(join(tmpdir(), `accrete-${kind}-`));
  made.push(folder);
  return folder;
}
