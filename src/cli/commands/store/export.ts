import type { ExportKind } from "../../../export/types.ts";
import { formatBytes, formatPairs } from "../../terminal/format.ts";
import { stoppable } from "../../terminal/stoppable.ts";
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
  await stoppable("export", async (signal) => {
    const written = await exportStore(store, { to, out, task, backbone, signal });
    if (json === true) {
      terminal.out(`${JSON.stringify(written)}\n`);
      return;
    }
    for (const note of written.notes) terminal.err(`note: ${note}\n`);
    terminal.out(formatPairs(written.files.map(({ name, bytes }) => [name, formatBytes(bytes)] as const)));
    terminal.out(`${written.folder}\n`);
  });
}
