/** Which sweep has a name on a queue, and which were cancelled. */
import type { Redis } from "ioredis";
import { StoreError } from "../../core/errors.ts";
import { keyPrefix } from "./connection.ts";

function nameKey(sweep: string): string {
  return `${keyPrefix}:sweep:${sweep}`;
}

/** @param plan the sweep's identity */
export function cancelKey(plan: string): string {
  return `${keyPrefix}:cancelled:${plan}`;
}

/**
 * Takes a sweep's name on the queue, or goes on with it.
 * @throws StoreError where another sweep has it
 */
export async function takeName(redis: Redis, sweep: string, plan: string, where: string): Promise<void> {
  const ticket = JSON.stringify({ plan, where });
  if ((await redis.set(nameKey(sweep), ticket, "NX")) === "OK") return;
  const there = await redis.get(nameKey(sweep));
  const known: unknown = there === null ? undefined : JSON.parse(there);
  const [other, place] =
    typeof known === "object" && known !== null && "plan" in known && "where" in known
      ? [known.plan, known.where]
      : [undefined, ""];
  if (other === plan) return;
  throw new StoreError(`the queue has another sweep called ${sweep}: ${String(place)}`, {
    code: "NAME_TAKEN",
    hint: "Give this one another name, or end that one: accrete sweep <that sweep> --cancel --queue ….",
  });
}

export async function releaseName(redis: Redis, sweep: string): Promise<void> {
  await redis.del(nameKey(sweep));
}
