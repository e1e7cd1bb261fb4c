/** Modules that a configuration names: imported before the rest of it is checked, they register kinds of their own. */
import { pathToFileURL } from "node:url";
import { ConfigError, messageOf } from "../core/errors.ts";
import { isRecord } from "./issues.ts";
import { resolvePath } from "./paths.ts";

export function resolveExtensions(
  { extensions }: { readonly extensions?: readonly string[] | undefined },
  baseDir: string,
): { readonly extensions?: readonly string[] } {
  return extensions === undefined ? {} : { extensions: extensions.map((path) => resolvePath(path, baseDir)) };
}

/**
 * Imports what `extensions` of a raw configuration names. A module that was imported before is not run again.
 * @param baseDir folder that relative paths start from
 * @throws ConfigError naming the module that cannot be imported; what is no list of paths is left to the schema
 */
export async function loadExtensions(raw: unknown, baseDir: string): Promise<void> {
  const listed: unknown = isRecord(raw) ? raw.extensions : undefined;
  const paths: readonly unknown[] = Array.isArray(listed) ? listed : [];
  for (const [i, path] of paths.entries()) {
    if (typeof path !== "string" || path === "") continue;
    const file = resolvePath(path, baseDir);
    await import(pathToFileURL(file).href).catch((cause: unknown) => {
      const why = messageOf(cause);
      throw new ConfigError("an extension cannot be loaded", {
        cause,
        issues: [
          { path: `extensions.${i}`, expected: "a module that can be imported", received: `${file}: ${why}` },
        ],
        hint: 'An extension is an ES module that imports "accrete-lm/extend" from the same installation.',
      });
    });
  }
}
