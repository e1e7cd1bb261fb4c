/** Redis or Valkey, and BullMQ on it: both optional packages, loaded when a queue is asked for. */
import type { ConnectionOptions } from "bullmq";
import type { Redis } from "ioredis";
import { ConfigError, messageOf, StoreError } from "../../core/errors.ts";
import { keepConnections } from "./redis.ts";

export type BullMq = typeof import("bullmq");

export interface QueueConnection extends AsyncDisposable {
  readonly bullmq: BullMq;
  /** What queues and workers are opened with. */
  readonly connection: ConnectionOptions;
  /** For keys of our own. */
  readonly redis: Redis;
  /** Without its password. */
  readonly place: string;
  /** Once that aborts, until it is disposed of: where Redis is silent for a while, all that waits for it fails. */
  readonly givingUp: (signal: AbortSignal) => Disposable;
}

/** Of all keys of ours. */
export const keyPrefix = "accrete";
export const queueName = "trials";

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && ["redis:", "rediss:"].includes(url.protocol) && url.hostname !== "") return url;
  throw new ConfigError(
    `--queue ${text.replace(/\/\/.*@/, "//…@")}: expected redis://host:6379, or rediss:// with TLS`,
    {
      hint: "With a password: redis://:password@host:6379. It may also come from ACCRETE_QUEUE.",
    },
  );
}

async function loadPackages() {
  try {
    const [bullmq, ioredis] = await Promise.all([import("bullmq"), import("ioredis")]);
    return { bullmq, Redis: ioredis.Redis };
  } catch (cause) {
    throw new StoreError("--queue needs the packages bullmq and ioredis, which are not installed", {
      cause,
      hint: "Install them beside accrete-lm: npm install bullmq ioredis",
    });
  }
}

const refused: readonly { readonly pattern: RegExp; readonly what: string; readonly hint: string }[] = [
  {
    pattern: /NOAUTH|NOPERM/,
    what: "it asks for a password",
    hint: "Give it: redis://:password@host:6379, or in ACCRETE_QUEUE.",
  },
  {
    pattern: /WRONGPASS|invalid password|invalid username/i,
    what: "the password is wrong",
    hint: "Correct it in --queue or ACCRETE_QUEUE.",
  },
];

function unusable(place: string, error: unknown): StoreError {
  const message = messageOf(error);
  const known = refused.find(({ pattern }) => pattern.test(message));
  return new StoreError(`${place}: the queue cannot be used: ${known?.what ?? message}`, {
    cause: error,
    hint: known?.hint ?? "Is Redis or Valkey running there, and reachable from here?",
  });
}

/** How long the first connection may take, and the last answer. */
const connectMs = 5_000;
const askAgainMs = 1_000;
const pauseMs = (tries: number) => Math.min(2_000, 100 * tries);

function giveUp(redis: Redis, end: () => void, signal: AbortSignal): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let disposed = false;
  const ask = () => {
    if (disposed) return;
    timer = setTimeout(end, connectMs);
    redis.ping().then(
      () => {
        clearTimeout(timer);
        timer = setTimeout(ask, askAgainMs).unref();
      },
      () => clearTimeout(timer),
    );
  };
  signal.addEventListener("abort", ask, { once: true });
  if (signal.aborted) ask();
  return {
    [Symbol.dispose]() {
      disposed = true;
      signal.removeEventListener("abort", ask);
      clearTimeout(timer);
    },
  };
}

/**
 * Connects once to see that it can be; after that a server that goes away is waited for.
 * @throws ConfigError for what is no address; StoreError where nothing answers, or it asks for another password
 */
export async function openConnection(address: string): Promise<QueueConnection> {
  const url = parseUrl(address);
  const place = `${url.protocol}//${url.host}`;
  const { bullmq, Redis } = await loadPackages();
  let ready = false;
  let last: unknown;
  const redis = new Redis(address, {
    lazyConnect: true,
    connectTimeout: connectMs,
    maxRetriesPerRequest: null,
    retryStrategy: (tries) => (ready ? pauseMs(tries) : null),
  });
  const end = keepConnections(redis);
  redis.on("error", (error) => {
    last = error;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    end();
    throw unusable(place, last ?? error);
  }
  ready = true;
  return {
    bullmq,
    connection: redis,
    redis,
    place,
    givingUp: (signal) => giveUp(redis, end, signal),
    async [Symbol.asyncDispose]() {
      end();
    },
  };
}
