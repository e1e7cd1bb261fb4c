import type { StoreInfo } from "../../app/store/types.ts";
import { formatBytes, formatCount, formatPairs, formatTable } from "../format.ts";
import { shortPath } from "../shell.ts";
import type { Terminal } from "../terminal.ts";

export interface LsFlags {
  readonly json?: boolean;
}

function toText(info: StoreInfo): string {
  const { folder, version, backbone, classes, tasks, contributions, statisticsBytes, versions } = info;
  const kept = contributions === "none" ? ", totals alone: cannot forget" : "";
  const facts = formatPairs([
    ["store", shortPath(folder)],
    ["version", String(version)],
    ["backbone", `${backbone.source} (${backbone.hash.slice(0, 12)})`],
    ["classes", `${classes} in ${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}`],
    ["statistics", `${formatBytes(statisticsBytes)}${kept}`],
  ]);
  const rows = tasks.map(({ name, labels, kind, rows: n, forgotten, folder: place }) => [
    name,
    String(labels.length),
    kind,
    formatCount(n),
    forgotten === 0 ? "" : `${forgotten} forgotten`,
    place,
  ]);
  const table =
    tasks.length === 0
      ? ""
      : `\n${formatTable([["task", "classes", "kind", "rows", "", "folder"], ...rows], [1, 3])}`;
  const past = formatTable(
    versions.map((each) => [String(each.version), each.time ?? "", each.change]),
    [0],
  );
  return `${facts}${table}\nversions\n${past}`;
}

export async function lsCommand(folder: string, flags: LsFlags, terminal: Terminal): Promise<void> {
  const { describeStore } = await import("../../app/store/info.ts");
  const info = await describeStore(folder);
  terminal.out(flags.json === true ? `${JSON.stringify(info)}\n` : toText(info));
}
