/** Where this machine has what a configuration names: the same run on another machine keeps its configuration. */

import { ConfigError } from "../core/errors.ts";
import { pathKeys } from "./load.ts";
import type { ResolvedConfig } from "./schema.ts";

/** Absolute paths by the key that names the file or folder elsewhere. */
export type Places = Readonly<Record<string, string>>;

/** Keys that may be placed; what extensions register must be the same code everywhere. */
export const placeKeys: readonly string[] = ["backbone", ...pathKeys.filter((key) => key !== "extensions")];

/**
 * The configuration with the paths of this machine: to read from, never to record.
 * @throws ConfigError for a key that names no file, or none in this configuration
 */
export function placedAt(config: ResolvedConfig, places: Places): ResolvedConfig {
  const stream: Record<string, unknown> = { ...config.stream };
  for (const key of Object.keys(places)) {
    const [section = "", name = ""] = key.split(".");
    if (placeKeys.includes(key) && (section !== "stream" || typeof stream[name] === "string")) continue;
    throw new ConfigError(`${key}: names no file or folder of the configuration that could lie elsewhere`, {
      hint: `Keys that do: ${placeKeys.filter((each) => isNamed(config, each)).join(", ")}.`,
    });
  }
  const { backbone = config.backbone, out = config.out } = places;
  const moved = Object.entries(places).flatMap(([key, path]) =>
    key.startsWith("stream.") ? [[key.slice("stream.".length), path] as const] : [],
  );
  return { ...config, backbone, out, stream: { ...config.stream, ...Object.fromEntries(moved) } };
}

function isNamed({ stream }: ResolvedConfig, key: string): boolean {
  if (!key.startsWith("stream.")) return true;
  return Object.entries(stream).some(
    ([name, value]) => key === `stream.${name}` && typeof value === "string",
  );
}

/** The paths that a configuration names, by key; `out` is not among them. */
export function namedFiles(config: ResolvedConfig): ReadonlyMap<string, string> {
  const named = Object.entries(config.stream).flatMap(([name, value]) =>
    placeKeys.includes(`stream.${name}`) && typeof value === "string"
      ? [[`stream.${name}`, value] as const]
      : [],
  );
  return new Map([["backbone", config.backbone], ...named]);
}
