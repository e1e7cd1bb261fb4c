import { parseOverride } from "../../../config/overrides.ts";
import { shortPath } from "../../terminal/shell.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface InitFlags {
  readonly backbone: string;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

export async function initCommand(folder: string, flags: InitFlags, terminal: Terminal): Promise<void> {
  const { createStore } = await import("../../../store/create.ts");
  const overrides = (flags.set ?? []).map((text) => parseOverride(text));
  await stoppable("init", async (signal) => {
    const settings = await createStore(folder, { backbone: flags.backbone }, { overrides, signal });
    if (flags.json === true) {
      terminal.out(`${JSON.stringify({ store: folder, version: 1, settings })}\n`);
      return;
    }
    terminal.out(`${shortPath(folder)}: an empty store on ${settings.backbone}\n`);
    terminal.err(`Teach it: accrete learn ${shortPath(folder)} --task name data.jsonl\n`);
  });
}
