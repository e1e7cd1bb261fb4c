import type { RouterStage } from "../../../continual/types.ts";
import type { StoreInfo } from "../../../store/info.ts";
import { formatBytes, formatCount, formatPairs, formatTable } from "../../terminal/format.ts";
import { shortPath } from "../../terminal/shell.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface LsFlags {
  readonly json?: boolean;
}

function taskTable({ tasks }: StoreInfo): string {
  if (tasks.length === 0) return "";
  const rows = tasks.map(({ name, labels, kind, rows: n, forgotten, folder: place }) => [
    name,
    String(labels.length),
    kind,
    formatCount(n),
    forgotten === 0 ? "" : `${forgotten} forgotten`,
    place,
  ]);
  return `\n${formatTable([["task", "classes", "kind", "rows", "", "folder"], ...rows], [1, 3])}`;
}

/** Of more classes than this the list is for machines. */
const MOST_CLASSES = 40;

export function classTable({ perClass }: Pick<StoreInfo, "perClass">): string {
  if (perClass.length === 0) return "";
  if (perClass.length > MOST_CLASSES) {
    const bytes = perClass.map(({ statisticsBytes }) => statisticsBytes);
    const [least, most] = [Math.min(...bytes), Math.max(...bytes)];
    return `\n${formatBytes(least)} to ${formatBytes(most)} of statistics a class; --json lists all ${perClass.length}\n`;
  }
  const rows = perClass.map(({ label, tasks, rows: n, statisticsBytes }) => [
    label,
    formatCount(n),
    formatBytes(statisticsBytes),
    tasks.join(", "),
  ]);
  return `\n${formatTable([["class", "rows", "statistics", "task"], ...rows], [1, 2])}`;
}

const routers: { readonly [S in RouterStage | "none"]: string } = {
  immediate: "immediate; accrete consolidate fits the one that takes over",
  consolidated: "consolidated",
  none: "none fitted yet",
};

function toText(info: StoreInfo): string {
  const { folder, version, backbone, classes, tasks, versions } = info;
  // Texts of no class are kept as a task without one.
  const homes = tasks.filter(({ labels }) => labels.length > 0).length;
  const facts = formatPairs([
    ["store", shortPath(folder)],
    ["version", String(version)],
    ["backbone", `${backbone.source} (${backbone.hash.slice(0, 12)})`],
    ["classes", `${classes} in ${homes} ${homes === 1 ? "task" : "tasks"}`],
    ["statistics", formatBytes(info.statisticsBytes)],
    ["router", routers[info.router ?? "none"]],
  ]);
  const past = formatTable(
    versions.map((each) => [String(each.version), each.time ?? "", each.change]),
    [0],
  );
  return `${facts}${taskTable(info)}${classTable(info)}\nversions\n${past}`;
}

export async function lsCommand(folder: string, flags: LsFlags, terminal: Terminal): Promise<void> {
  const { describeStore } = await import("../../../store/info.ts");
  const info = await describeStore(folder);
  terminal.out(flags.json === true ? `${JSON.stringify(info)}\n` : toText(info));
}
