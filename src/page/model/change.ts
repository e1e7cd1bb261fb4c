/** Changes of a store, and what they did. */

import type { Client, Job, Quality, VersionQuality } from "../../client/index.ts";
import { AccreteError } from "../../core/errors.ts";

/** A change that was made. */
export interface Made {
  readonly what: string;
  readonly before: number;
  readonly version: number;
  /** What it did to held-out texts; absent as long as it is not known, or where nothing can be judged. */
  readonly effect?: VersionQuality;
  readonly earlier?: Quality;
  /** Whether that could not be found out. */
  readonly isUnmeasured?: true;
}

export const versionOf = ({ result }: Job): number => {
  const version = result?.version;
  return typeof version === "number" ? version : 0;
};

/** Waits for a change that took longer than a request may. @throws with its refusal in words */
export async function finished(client: Client, job: Job): Promise<Job> {
  if (job.state === "waiting" || job.state === "running") {
    const where = { name: job.store, id: job.id };
    for await (const _ of client.jobEvents(where));
    return await finished(client, await client.job(where));
  }
  if (job.state === "done") return job;
  const {
    code,
    message,
    hint = "",
  } = job.error ?? { code: "CANCELLED", message: "the change was cancelled" };
  throw new AccreteError(code, hint === "" ? message : `${message}. ${hint}`);
}

/** What a change did, measured on the texts that the versions before and after both know. */
export async function effectOf(
  client: Client,
  store: string,
  made: Pick<Made, "before" | "version">,
): Promise<Pick<Made, "effect" | "earlier">> {
  const effect = await client.quality({ name: store, version: made.version, against: made.before });
  const earlier = await client.quality({ name: store, version: made.before });
  return { effect, ...(earlier.quality && { earlier: earlier.quality }) };
}
