import { shortPath } from "../../terminal/shell.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface PullFlags {
  readonly json?: boolean;
}

export async function pullCommand(
  url: string,
  folder: string,
  flags: PullFlags,
  terminal: Terminal,
): Promise<void> {
  const { pullStore } = await import("../../../store/sources/transfer.ts");
  const pulled = await pullStore(url, folder);
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ folder, ...pulled })}\n`
      : `${shortPath(folder)}: version ${pulled.version}${pulled.unchanged ? ", as before" : ""}\n`,
  );
}
