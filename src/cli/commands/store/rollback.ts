import type { Terminal } from "../../terminal/terminal.ts";

export interface RollbackFlags {
  readonly to?: number;
  readonly backbone?: string;
  readonly json?: boolean;
}

export async function rollbackCommand(
  folder: string,
  flags: RollbackFlags,
  terminal: Terminal,
): Promise<void> {
  const { rollbackStore } = await import("../../../store/store.ts");
  const { store, tasks } = await rollbackStore(
    folder,
    flags.to,
    flags.backbone === undefined ? {} : { backbone: flags.backbone },
  );
  const { version, change } = store;
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ version, change, tasks: tasks.map(({ name }) => name) })}\n`
      : `version ${version}: ${change}, ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}\n`,
  );
}
