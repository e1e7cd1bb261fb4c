import { StoreError } from "../../../core/errors.ts";
import { formatBytes } from "../../terminal/format.ts";
import { quote, shortPath } from "../../terminal/shell.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface CheckFlags {
  readonly json?: boolean;
}

export async function checkCommand(folder: string, flags: CheckFlags, terminal: Terminal): Promise<void> {
  const { checkFolder } = await import("../../../workspace/check.ts");
  const checked = await checkFolder(folder);
  const { version, files, bytes, problems, leftovers } = checked;
  if (flags.json === true) terminal.out(`${JSON.stringify(checked)}\n`);
  else {
    const lines = problems.map(({ path, problem, versions }) => {
      const of = versions.length === 0 ? "" : ` (versions ${versions.join(", ")})`;
      return `${path}: ${problem}${of}`;
    });
    if (leftovers.length > 0)
      lines.push(`left by an interrupted change, and harmless: ${leftovers.join(", ")}`);
    if (problems.length === 0)
      lines.push(`version ${version}: ${files} files of ${formatBytes(bytes)} are as they were written`);
    terminal.out(`${lines.join("\n")}\n`);
  }
  if (problems.length > 0)
    throw new StoreError(
      `${shortPath(checked.folder)}: ${problems.length} ${problems.length === 1 ? "file is" : "files are"} not as written`,
      { exitCode: 1, hint: `accrete repair ${quote(shortPath(checked.folder))} does what can be done.` },
    );
}
