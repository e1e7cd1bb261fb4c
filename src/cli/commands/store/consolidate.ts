import type { RouterFitting } from "../../../core/record.ts";
import type { Store } from "../../../store/store.ts";
import { formatDuration, formatFitting } from "../../terminal/format.ts";
import { RenewingLine } from "../../terminal/renewingLine.ts";
import { stoppable } from "../../terminal/stoppable.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface ConsolidateFlags {
  readonly backbone?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Steps of a fit: the settings of each member are chosen, then each is fitted to all rows. */
function stepsDone({ stage, member, members }: RouterFitting): number {
  return (stage === "choose" ? 0 : members) + member - 1;
}

/** @param seconds since the fit began */
function describe(fitting: RouterFitting, seconds: number): string {
  const done = stepsDone(fitting);
  const left = (seconds / done) * (2 * fitting.members - done);
  return `${formatFitting(fitting)}${done === 0 ? "" : ` · about ${formatDuration(left)} left`}`;
}

/** Fits the router that takes over, and says what answers now. */
export async function consolidate(
  store: Store,
  { json, quiet }: ConsolidateFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const line = new RenewingLine(terminal);
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  try {
    const onFitting = (fitting: RouterFitting) => line.say(describe(fitting, elapsed()));
    const status = await store.consolidate({ signal, ...(quiet !== true && { onFitting }) });
    line.clear();
    const { version, router } = status;
    const answers = router === undefined ? "nothing to consolidate" : `the ${router} router answers`;
    terminal.out(
      json === true
        ? `${JSON.stringify(status)}\n`
        : `version ${version}: ${answers} (${formatDuration(elapsed())})\n`,
    );
  } finally {
    line.clear();
  }
}

export async function consolidateCommand(
  folder: string,
  flags: ConsolidateFlags,
  terminal: Terminal,
): Promise<void> {
  const { openStore } = await import("../../../store/store.ts");
  const elsewhere = flags.backbone === undefined ? {} : { backbone: flags.backbone };
  const message = "consolidate: stopped; the immediate router goes on answering";
  await stoppable(
    "consolidate",
    async (signal) => {
      await using store = await openStore(folder, { ...elsewhere, background: false, signal });
      await consolidate(store, flags, terminal, signal);
    },
    message,
  );
}
