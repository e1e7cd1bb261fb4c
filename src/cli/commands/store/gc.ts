import { formatBytes } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface GcFlags {
  readonly keep?: number;
  readonly wait?: number;
  readonly json?: boolean;
}

export async function gcCommand(folder: string, flags: GcFlags, terminal: Terminal): Promise<void> {
  const { cleanStore } = await import("../../../store/upkeep.ts");
  const collected = await cleanStore(folder, flags.keep, {
    waitSeconds: flags.wait,
    onEvent: (event) => {
      if (event.type === "note") terminal.err(`note: ${event.message}\n`);
    },
  });
  const { version, deletedVersions, freedBytes } = collected;
  const gone = deletedVersions.length === 0 ? "none" : deletedVersions.join(", ");
  terminal.out(
    flags.json === true
      ? `${JSON.stringify(collected)}\n`
      : `version ${version}: deleted versions: ${gone}; ${formatBytes(freedBytes)} freed\n`,
  );
}
