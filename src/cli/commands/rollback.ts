import type { Terminal } from "../terminal.ts";

export interface RollbackFlags {
  readonly to?: number;
  readonly json?: boolean;
}

export async function rollbackCommand(
  folder: string,
  flags: RollbackFlags,
  terminal: Terminal,
): Promise<void> {
  const { StoreFolder } = await import("../../app/store/storeFolder.ts");
  await using store = await StoreFolder.open(folder);
  const { store: made, tasks } = await store.rollback(flags.to);
  const { version, change } = made;
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ version, change, tasks: tasks.map(({ name }) => name) })}\n`
      : `version ${version}: ${change}, ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}\n`,
  );
}
