import type { DatasetName } from "../../../benchmark/prepare/catalogue.ts";
import { type Prepared, prepareDataset } from "../../../benchmark/prepare/prepare.ts";
import { formatCount, formatTable } from "../../terminal/format.ts";
import { shortPath } from "../../terminal/shell.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface PrepareFlags {
  readonly from: string;
  readonly to: string;
  readonly seed: number;
  readonly base?: number;
  readonly increment?: number;
}

function summarise({ folder, level, tasks }: Prepared): string {
  const [what, rows] = level === "word" ? ["types", "sentences"] : ["classes", "texts"];
  const total = (part: "train" | "validation" | "test") =>
    formatCount(tasks.reduce((sum, task) => sum + task[part], 0));
  const cells = tasks.map(({ labels, train, validation, test }, i) => [
    `task-${i}`,
    String(labels.length),
    ...[train, validation, test].map(formatCount),
  ]);
  // At word level every task has the same test sentences: their sum would count them as often as there are tasks.
  const sums = level === "word" ? [] : [["all", "", total("train"), total("validation"), total("test")]];
  return (
    `${shortPath(folder)}: ${tasks.length} tasks; ${rows} of each part:\n` +
    formatTable([["", what, "train", "dev", "test"], ...cells, ...sums], [1, 2, 3, 4])
  );
}

/** Makes the two-file layout from a publisher's files. */
export async function prepareCommand(
  name: DatasetName,
  flags: PrepareFlags,
  terminal: Terminal,
): Promise<void> {
  const prepared = await prepareDataset(name, flags.from, flags.to, flags);
  for (const note of prepared.notes) terminal.err(`${note}\n`);
  terminal.out(summarise(prepared));
}
