/** Where a run's time went: by part, from its events, and in the engine by operator. */
import { join } from "node:path";
import type { RunEvent } from "../../core/record.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { type OperatorTime, profileFolder, takeProfile } from "../../runtime/profiling.ts";

export const profileFile = "profile.json";

export interface RunProfile {
  /** Seconds of wall-clock time. */
  readonly parts: {
    readonly training: number;
    readonly router: number;
    readonly evaluation: number;
    readonly probing: number;
    /** Loading, writing, and what none of the others counts. */
    readonly other: number;
  };
  /** Of kernels inside the engine, which may run on several threads. */
  readonly operators: readonly OperatorTime[];
}

const secondsOf = ({ time }: RunEvent) => Date.parse(time) / 1000;

/** Adds up a run's events as they come. */
export class PartsOfTime {
  private readonly begun = performance.now();
  private readonly parts = { training: 0, router: 0, evaluation: 0, probing: 0 };
  private fitting: number | undefined;

  hear(event: RunEvent): void {
    if (event.type === "router-fitting") this.fitting ??= secondsOf(event);
    if (event.type === "task-learned") {
      const router = this.fitting === undefined ? 0 : secondsOf(event) - this.fitting;
      this.fitting = undefined;
      this.parts.router += router;
      this.parts.training += Math.max(0, event.seconds - router);
    }
    if (event.type === "evaluated" || event.type === "words-evaluated")
      this.parts.evaluation += event.seconds;
    if (event.type === "probed") this.parts.probing += event.seconds;
  }

  sum(): RunProfile["parts"] {
    const known = Object.values(this.parts).reduce((a, b) => a + b, 0);
    return { ...this.parts, other: Math.max(0, (performance.now() - this.begun) / 1000 - known) };
  }
}

/** Writes a finished run's `profile.json`. @param out the run's folder */
export async function writeProfile(out: string, parts: PartsOfTime): Promise<RunProfile> {
  const profile = { parts: parts.sum(), operators: await takeProfile(join(out, profileFolder)) };
  await writeFileAtomic(join(out, profileFile), `${JSON.stringify(profile, null, 2)}\n`);
  return profile;
}
