/** `accrete-lm/server`: stores behind HTTP, to embed. */
import "./runtime/telemetry.ts";

export type { WatchedQueue } from "./server/api/workerRoutes.ts";
export type { Tokens } from "./server/guard.ts";
export { type Listening, type ListenOptions, listen } from "./server/listen.ts";
export type { LogEntry } from "./server/log.ts";
export { jsonLog } from "./server/log.ts";
export { createServer, type ServerOptions, type StoreServer } from "./server/server.ts";
export type { KeepOptions } from "./server/service/kept.ts";
export type { Limits } from "./server/service/limits.ts";
