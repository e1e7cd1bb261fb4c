/** Where the engine's time goes: its own profile of each session, added up by operator. */
import { createReadStream } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import type { Runtime } from "./types.ts";

/** In the folder of a run, while it runs. */
export const profileFolder = "profile";

/** A runtime whose sessions write what they did into a folder when they are disposed of. The engine keeps a million events a session. */
export function profiling(runtime: Runtime, folder: string): Runtime {
  let sessions = 0;
  return {
    name: runtime.name,
    async compile(graph, options = {}) {
      await mkdir(folder, { recursive: true });
      sessions++;
      return runtime.compile(graph, { ...options, profile: join(folder, `session-${sessions}`) });
    },
  };
}

/** The engine's events of kernels; all others lie around them. */
const eventSchema = z.object({
  cat: z.string(),
  name: z.string(),
  /** Microseconds. */
  dur: z.number().optional(),
  args: z.object({ op_name: z.string().optional() }).optional(),
});

export interface OperatorTime {
  readonly operator: string;
  readonly calls: number;
  readonly seconds: number;
}

/** A session's kernels as they ran. The engine writes an event a line; of a long run the lines are more than one string holds. */
async function* kernelsOf(file: string): AsyncGenerator<Omit<OperatorTime, "calls">> {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (!line.includes('_kernel_time"')) continue;
    const { cat, name, dur = 0, args } = eventSchema.parse(JSON.parse(line.replace(/,\s*$/, "")));
    if (cat === "Node" && name.endsWith("_kernel_time") && args?.op_name !== undefined)
      yield { operator: args.op_name, seconds: dur / 1e6 };
  }
}

/**
 * Adds up what sessions wrote by the engine's operator, the longest first, and deletes their files.
 * @param folder as given to {@link profiling}; without one nothing was computed
 */
export async function takeProfile(folder: string): Promise<OperatorTime[]> {
  const sums = new Map<string, { calls: number; seconds: number }>();
  const files = await readdir(folder).catch(() => []);
  for (const file of files.filter((name) => name.startsWith("session-")))
    for await (const { operator, seconds } of kernelsOf(join(folder, file))) {
      const sum = sums.get(operator) ?? { calls: 0, seconds: 0 };
      sum.calls++;
      sum.seconds += seconds;
      sums.set(operator, sum);
    }
  await rm(folder, { recursive: true, force: true });
  return [...sums].map(([operator, sum]) => ({ operator, ...sum })).sort((a, b) => b.seconds - a.seconds);
}
