import { shortPath } from "../shell.ts";
import type { Terminal } from "../terminal.ts";

export interface MergeFlags {
  readonly out: string;
  readonly backbone?: string;
  readonly json?: boolean;
}

export async function mergeCommand(
  first: string,
  second: string,
  flags: MergeFlags,
  terminal: Terminal,
): Promise<void> {
  const { mergeStores } = await import("../../app/store/store.ts");
  const elsewhere = flags.backbone === undefined ? {} : { backbone: flags.backbone };
  const { tasks, version } = await mergeStores(first, second, flags.out, elsewhere);
  if (flags.json === true) {
    terminal.out(`${JSON.stringify({ store: flags.out, version, tasks })}\n`);
    return;
  }
  const renamed = tasks.filter(({ name, was }) => name !== was).map(({ name, was }) => `${was} is ${name}`);
  terminal.out(
    `${shortPath(flags.out)}: ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}${renamed.length === 0 ? "" : ` (${renamed.join(", ")})`}\n`,
  );
}
