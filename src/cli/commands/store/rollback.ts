import type { Terminal } from "../../terminal/terminal.ts";

export interface RollbackFlags {
  readonly to?: number;
  readonly wait?: number;
  readonly json?: boolean;
}

export async function rollbackCommand(
  folder: string,
  flags: RollbackFlags,
  terminal: Terminal,
): Promise<void> {
  const { rollbackStore } = await import("../../../store/upkeep.ts");
  const { store, tasks } = await rollbackStore(folder, flags.to, {
    waitSeconds: flags.wait,
    onEvent: (event) => {
      if (event.type === "note") terminal.err(`note: ${event.message}\n`);
    },
  });
  const { version, change } = store;
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ version, change, tasks: tasks.map(({ name }) => name) })}\n`
      : `version ${version}: ${change}, ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}\n`,
  );
}
