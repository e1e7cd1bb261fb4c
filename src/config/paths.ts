import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** `~` is the home folder; other relative paths start from `baseDir`. */
export function resolvePath(path: string, baseDir: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : resolve(baseDir, path);
}
