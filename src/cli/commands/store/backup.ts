import { formatBytes } from "../../terminal/format.ts";
import { shortPath } from "../../terminal/shell.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface BackupFlags {
  readonly json?: boolean;
}

export async function backupCommand(
  folder: string,
  to: string,
  flags: BackupFlags,
  terminal: Terminal,
): Promise<void> {
  const { backupFolder } = await import("../../../workspace/backup.ts");
  await stoppable("backup", async (signal) => {
    const copied = await backupFolder(folder, to, { signal });
    const { version, files, bytes } = copied;
    terminal.out(
      flags.json === true
        ? `${JSON.stringify(copied)}\n`
        : `${shortPath(copied.folder)}: version ${version}, ${files} files of ${formatBytes(bytes)}\n`,
    );
  });
}
