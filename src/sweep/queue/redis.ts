/** All of a process's connections to one Redis, so that nothing waits for a server that is gone once it is to end. */
import type { Redis, RedisOptions } from "ioredis";

function endOne(redis: Redis): void {
  redis.disconnect();
  if (redis.status !== "reconnecting") return;
  // Between two tries ioredis has nothing to close, and would let commands wait for ever: the next try is to fail.
  redis.once("ready", () => redis.disconnect());
  redis.connect().catch(() => {});
}

/** Keeps count of a connection and of all that are duplicated from it. @returns what ends them: whoever waits for an answer gets an error */
export function keepConnections(first: Redis): () => void {
  const all = new Set<Redis>();
  const keep = (redis: Redis): Redis => {
    all.add(redis);
    // A server that goes away is waited for.
    redis.on("error", () => {});
    const duplicate = redis.duplicate.bind(redis);
    // BullMQ takes a first try that fails for the last one, unless the connection connects by itself.
    return Object.assign(redis, {
      duplicate: (own: Partial<RedisOptions> = {}) => keep(duplicate({ lazyConnect: false, ...own })),
    });
  };
  keep(first);
  return () => [...all].forEach(endOne);
}
