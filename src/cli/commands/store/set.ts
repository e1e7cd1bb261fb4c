import { parseOverride } from "../../../config/overrides.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface SetFlags {
  readonly backbone?: string;
  readonly wait?: number;
  readonly json?: boolean;
}

export async function setCommand(
  folder: string,
  settings: readonly string[],
  flags: SetFlags,
  terminal: Terminal,
): Promise<void> {
  const changes = settings.map((text) => parseOverride(text, "set"));
  const { openStore } = await import("../../../store/store.ts");
  const elsewhere = flags.backbone === undefined ? {} : { backbone: flags.backbone };
  await stoppable("set", async (signal) => {
    const opening = { ...elsewhere, background: false, waitSeconds: flags.wait, signal };
    await using store = await openStore(folder, opening);
    const { version } = await store.set(Object.fromEntries(changes.map(({ key, value }) => [key, value])));
    const said = changes.map(({ key, value }) => `${key} ${JSON.stringify(value)}`).join(", ");
    const { router } = store.status();
    terminal.out(
      flags.json === true
        ? `${JSON.stringify({ version, settings: changes.map(({ key, value }) => ({ key, value })), router })}\n`
        : `version ${version}: ${said}${router === "immediate" ? "; accrete consolidate fits the router that takes over" : ""}\n`,
    );
  });
}
