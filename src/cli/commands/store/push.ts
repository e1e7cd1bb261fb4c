import { deletedLine } from "../../terminal/collected.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface PushFlags {
  readonly wait?: number;
  readonly json?: boolean;
}

export async function pushCommand(
  folder: string,
  url: string,
  flags: PushFlags,
  terminal: Terminal,
): Promise<void> {
  const { pushStore } = await import("../../../store/sources/transfer.ts");
  const { warning, ...pushed } = await pushStore(folder, url, {
    waitSeconds: flags.wait,
    onEvent: (event) => {
      if (event.type === "note") terminal.err(`note: ${event.message}\n`);
    },
  });
  if (warning !== undefined) terminal.err(`warning: ${warning}\n`);
  const deleted = pushed.deletedObjects === 0 ? "" : `; ${deletedLine(pushed)}`;
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ url, ...pushed })}\n`
      : `${url}: version ${pushed.version}${pushed.unchanged ? ", as before" : ""}${deleted}\n`,
  );
}
