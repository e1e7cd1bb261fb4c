import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AccreteError } from "../../src/core/errors.ts";
import type { LabelledExample } from "../../src/data/types.ts";
import { folderOfTestFile } from "../temporaryFolders.ts";

/** A fresh folder with these files, in folders of their own where the name has slashes. */
export function rawFolder(files: Readonly<Record<string, string>>): string {
  const folder = folderOfTestFile("prepare");
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** A path that does not exist yet. */
export function freshTarget(): string {
  return join(rawFolder({}), "made");
}

/** Message and hint of the error of ours that a promise ends with. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof AccreteError)) throw error ?? new TypeError("nothing was refused");
  return `${error.message} ${error.hint ?? ""}`;
}

export function byText(rows: readonly LabelledExample[]): Readonly<Record<string, string>> {
  return Object.fromEntries(rows.map(({ text, label }) => [text, label]));
}
