import type { Merged } from "../../../model/changes.ts";
import { shortPath } from "../../terminal/shell.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

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
  const { mergeStores } = await import("../../../store/mergeStores.ts");
  const elsewhere = flags.backbone === undefined ? {} : { backbone: flags.backbone };
  await stoppable("merge", async (signal) => {
    const merged = await mergeStores(first, second, flags.out, { ...elsewhere, signal });
    report(merged, flags, terminal);
  });
}

function report({ tasks, version }: Merged, flags: MergeFlags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out(`${JSON.stringify({ store: flags.out, version, tasks })}\n`);
    return;
  }
  const renamed = tasks.filter(({ name, was }) => name !== was).map(({ name, was }) => `${was} is ${name}`);
  terminal.out(
    `${shortPath(flags.out)}: ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}${renamed.length === 0 ? "" : ` (${renamed.join(", ")})`}\n`,
  );
}
