import { StoreError } from "../../../core/errors.ts";
import { shortPath } from "../../terminal/shell.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface RepairFlags {
  readonly wait?: number;
  readonly json?: boolean;
}

export async function repairCommand(folder: string, flags: RepairFlags, terminal: Terminal): Promise<void> {
  const { repairFolder } = await import("../../../workspace/repair.ts");
  const repaired = await repairFolder(folder, { waitSeconds: flags.wait });
  const { done, lost, left } = repaired;
  if (flags.json === true) terminal.out(`${JSON.stringify(repaired)}\n`);
  else {
    const lines = [...done, ...lost.map((what) => `lost: ${what}`)];
    terminal.out(`${lines.join("\n") || "nothing had to be repaired"}\n`);
  }
  const present = left.problems.filter(
    ({ versions }) => versions.length === 0 || versions.includes(left.version ?? 0),
  );
  if (present.length > 0)
    throw new StoreError(
      `${shortPath(left.folder)}: still wrong: ${present.map(({ path, problem }) => `${path}: ${problem}`).join("; ")}`,
      { exitCode: 1, hint: "Restore it from a backup." },
    );
}
