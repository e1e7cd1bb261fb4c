/** The package's own place and the versions that a run records. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of package.json: the same distance from `src/core` as from `dist/core`. */
export const packageRoot = fileURLToPath(new URL("../../", import.meta.url));

function versionIn(packageJson: string): string {
  const json: unknown = JSON.parse(readFileSync(packageJson, "utf8"));
  const version = typeof json === "object" && json !== null && "version" in json ? json.version : undefined;
  return typeof version === "string" ? version : "unknown";
}

export function packageVersion(): string {
  return versionIn(join(packageRoot, "package.json"));
}

/** Version of the installed engine; "missing" where it cannot be found. */
export function engineVersion(): string {
  try {
    return versionIn(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  } catch {
    return "missing";
  }
}

export function collectVersions(): {
  readonly accrete: string;
  readonly node: string;
  readonly engine: string;
} {
  return { accrete: packageVersion(), node: process.versions.node, engine: engineVersion() };
}
