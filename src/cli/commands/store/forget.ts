import type { ChangeEvent } from "../../../model/changes.ts";
import type { ForgetTarget } from "../../../model/forgetting.ts";
import type { ForgottenInStore } from "../../../store/store.ts";
import type { Purged } from "../../../store/upkeep.ts";
import { UsageError } from "../../terminal/failure.ts";
import { shortPath } from "../../terminal/shell.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface ForgetFlags {
  readonly class?: string;
  readonly task?: string;
  readonly purge?: boolean;
  readonly wait?: number;
  readonly backbone?: string;
  readonly json?: boolean;
}

/** @returns undefined where nothing is to be forgotten but what was forgotten before */
function targetOf(flags: ForgetFlags): ForgetTarget | undefined {
  if (flags.class !== undefined && flags.task === undefined) return { class: flags.class };
  if (flags.task !== undefined && flags.class === undefined) return { task: flags.task };
  if (flags.class === undefined && flags.purge === true) return undefined;
  throw new UsageError("forget: expected either --class or --task, or --purge alone", {
    hint: "accrete forget <store> --class name, or --task name; --purge alone deletes what earlier versions hold.",
  });
}

/** What a purge took from elsewhere, and what it leaves. */
function besideLines({
  deletedStates,
  recordFiles,
}: Pick<Purged, "deletedStates" | "recordFiles">): string[] {
  const files = deletedStates === 1 ? "1 file" : `${deletedStates} files`;
  return [
    ...(deletedStates === 0
      ? []
      : [
          `deleted from the system's folder for caches: ${files} of what runs on this backbone kept of texts`,
        ]),
    ...(recordFiles.length === 0
      ? []
      : [`the experiment's own record, which stays and may name it: ${recordFiles.join(", ")}`]),
  ];
}

function purgedLines(purged: Purged): string {
  const { version, deletedVersions } = purged;
  const first =
    deletedVersions.length === 0
      ? `version ${version}: no earlier version was kept`
      : `version ${version}: deleted the versions before it, and what they alone held: ${deletedVersions.join(", ")}`;
  return `${[first, ...besideLines(purged)].join("\n")}\n`;
}

function toLines(forgotten: ForgottenInStore): string {
  const { version, classes, rows, deletedTasks, adaptersThatSaw } = forgotten;
  const { deletedAdapters, keptVersions } = forgotten;
  const lines = [
    `version ${version}: forgot ${classes.length} ${classes.length === 1 ? "class" : "classes"} (${classes.join(", ") || "all are known to other tasks"}), ${rows} feature rows`,
  ];
  const bare = deletedTasks.filter((name) => !deletedAdapters.includes(name));
  if (deletedAdapters.length > 0) lines.push(`deleted with their adapters: ${deletedAdapters.join(", ")}`);
  if (bare.length > 0) lines.push(`deleted: ${bare.join(", ")}`);
  if (adaptersThatSaw.length > 0)
    lines.push(
      `adapters that saw it in training and stay, without a slot for it: ${adaptersThatSaw.join(", ")}`,
    );
  lines.push(...besideLines(forgotten));
  lines.push(
    keptVersions.length === 0
      ? "no earlier version is kept: there is no way back"
      : `kept and still holding it, for rollback: versions ${keptVersions.join(", ")}; --purge deletes them`,
  );
  return `${lines.join("\n")}\n`;
}

const onEventOf = (terminal: Terminal) => (event: ChangeEvent) => {
  if (event.type === "note") terminal.err(`note: ${event.message}\n`);
};

/** A purge reaches what is published with the next push. */
async function tellWhereElse(folder: string, terminal: Terminal): Promise<void> {
  const { readOrigins } = await import("../../../store/sources/origin.ts");
  for (const place of Object.keys(await readOrigins(folder)))
    terminal.err(
      `note: ${place} may still hold what was purged: accrete push ${shortPath(folder)} ${place} deletes it there\n`,
    );
}

async function purge(folder: string, { json, wait }: ForgetFlags, terminal: Terminal): Promise<void> {
  const { purgeStore } = await import("../../../store/upkeep.ts");
  const purged = await purgeStore(folder, { waitSeconds: wait, onEvent: onEventOf(terminal) });
  terminal.out(json === true ? `${JSON.stringify(purged)}\n` : purgedLines(purged));
  await tellWhereElse(folder, terminal);
}

export async function forgetCommand(folder: string, flags: ForgetFlags, terminal: Terminal): Promise<void> {
  const target = targetOf(flags);
  if (target === undefined) return await purge(folder, flags, terminal);
  const { openStore } = await import("../../../store/store.ts");
  const elsewhere = flags.backbone === undefined ? {} : { backbone: flags.backbone };
  await stoppable("forget", async (signal) => {
    await using store = await openStore(folder, {
      ...elsewhere,
      background: false,
      waitSeconds: flags.wait,
      signal,
    });
    const forgotten = await store.forget(target, {
      purge: flags.purge === true,
      onEvent: onEventOf(terminal),
      signal,
    });
    terminal.out(flags.json === true ? `${JSON.stringify(forgotten)}\n` : toLines(forgotten));
    if (flags.purge === true) await tellWhereElse(folder, terminal);
  });
}
