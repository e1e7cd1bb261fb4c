import { homedir } from "node:os";
import { join } from "node:path";

/** Where the system keeps what can be made again: Accrete's part of it. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "accrete");
}
