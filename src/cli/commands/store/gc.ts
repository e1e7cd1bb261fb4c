import { stat } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../../../core/errors.ts";
import type { WaitOptions } from "../../../store/upkeep.ts";
import { manifestFile } from "../../../workspace/manifest.ts";
import { deletedLine } from "../../terminal/collected.ts";
import { UsageError } from "../../terminal/failure.ts";
import { formatBytes } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface GcFlags {
  readonly keep?: number;
  readonly wait?: number;
  readonly json?: boolean;
}

/** Whether a store is meant that is published: in a bucket, or on a shared folder, where its name is not its folder. */
async function isPublished(store: string): Promise<boolean> {
  if (store.startsWith("s3://")) return true;
  const [, place = ".", name = ""] = /^(?:(.*?)\/+)?([^/]+)\/*$/.exec(store) ?? [];
  const isThere = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  return (
    !(await isThere(join(store, manifestFile))) && (await isThere(join(place, "names", `stores+${name}.txt`)))
  );
}

async function cleanBucket(url: string, flags: GcFlags, terminal: Terminal): Promise<void> {
  if (flags.keep !== undefined)
    throw new UsageError(`gc: --keep is of a store in a folder, and ${url} is a published one`, {
      hint: "accrete gc <store> --keep n, then accrete push <store> <url>.",
    });
  const { cleanPublished } = await import("../../../store/sources/transfer.ts");
  const { warning, ...cleaned } = await cleanPublished(url, waitingOf(flags, terminal));
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ url, ...cleaned })}\n`
      : `${url}: version ${cleaned.version}: ${deletedLine(cleaned)}\n`,
  );
  if (warning !== undefined) throw new StoreError(warning, { exitCode: 1 });
}

function waitingOf({ wait }: GcFlags, terminal: Terminal): WaitOptions {
  return {
    waitSeconds: wait,
    onEvent: (event) => {
      if (event.type === "note") terminal.err(`note: ${event.message}\n`);
    },
  };
}

export async function gcCommand(store: string, flags: GcFlags, terminal: Terminal): Promise<void> {
  if (await isPublished(store)) return await cleanBucket(store, flags, terminal);
  const { cleanStore } = await import("../../../store/upkeep.ts");
  const collected = await cleanStore(store, flags.keep, waitingOf(flags, terminal));
  const { version, deletedVersions, freedBytes } = collected;
  const gone = deletedVersions.length === 0 ? "none" : deletedVersions.join(", ");
  terminal.out(
    flags.json === true
      ? `${JSON.stringify(collected)}\n`
      : `version ${version}: deleted versions: ${gone}; ${formatBytes(freedBytes)} freed\n`,
  );
}
