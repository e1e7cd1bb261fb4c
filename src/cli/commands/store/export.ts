import type { ExportKind } from "../../../export/types.ts";
import { formatBytes } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface ExportFlags {
  readonly to: ExportKind;
  readonly out?: string;
  readonly task?: string;
  readonly backbone?: string;
  readonly json?: boolean;
}

export async function exportCommand(store: string, flags: ExportFlags, terminal: Terminal): Promise<void> {
  const { exportStore } = await import("../../../export/exportStore.ts");
  const { to, out, task, backbone, json } = flags;
  const written = await exportStore(store, { to, out, task, backbone });
  if (json === true) {
    terminal.out(`${JSON.stringify(written)}\n`);
    return;
  }
  for (const note of written.notes) terminal.err(`note: ${note}\n`);
  for (const { name, bytes } of written.files) terminal.out(`${name}  ${formatBytes(bytes)}\n`);
  terminal.out(`${written.folder}\n`);
}
