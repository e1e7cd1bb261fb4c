import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { folderOfTestFile } from "../temporaryFolders.ts";

/** A fresh folder holding these files. */
export function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = folderOfTestFile("data");
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

export interface RowSpec {
  readonly text: string;
  readonly label: string;
}

export function jsonl(rows: readonly RowSpec[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** `counts` rows a label, texts unlike those of any other prefix. */
export function rowsOf(prefix: string, counts: Readonly<Record<string, number>>): RowSpec[] {
  return Object.entries(counts).flatMap(([label, n]) =>
    Array.from({ length: n }, (_, i) => ({ text: `${prefix} ${label} ${i}`, label })),
  );
}
