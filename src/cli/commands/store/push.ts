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
  const pushed = await pushStore(folder, url, {
    waitSeconds: flags.wait,
    onEvent: (event) => {
      if (event.type === "note") terminal.err(`note: ${event.message}\n`);
    },
  });
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ url, ...pushed })}\n`
      : `${url}: version ${pushed.version}${pushed.unchanged ? ", as before" : ""}\n`,
  );
}
