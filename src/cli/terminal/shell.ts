/** Paths and words as one would type them in a shell. */
import { existsSync, realpathSync } from "node:fs";
import { basename, delimiter, dirname, join, relative, sep } from "node:path";

export function shortPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short === "" ? "." : short.startsWith("..") ? path : short;
}

export function quote(word: string): string {
  return /^[\w./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The same file under both names. */
function same(a: string, b: string): boolean {
  return existsSync(a) && realpathSync(a) === realpathSync(b);
}

/**
 * How this command line is called where it was called from: `accrete` where the shell finds it, `npx accrete` in a project that has it,
 * else `node` and the script.
 * @param script as Node was given it
 */
export function ownCommand(
  script = process.argv[1] ?? "",
  path = process.env.PATH ?? "",
  folder = process.cwd(),
): string {
  if (script === "" || !existsSync(script)) return "accrete";
  const local = join(folder, "node_modules/.bin");
  // npm and npx put folders of their own before the path of the shell, which will not find them there.
  const folders = path.split(delimiter).filter((entry) => !entry.includes(`${sep}node_modules${sep}`));
  if (folders.some((entry) => entry !== local && same(join(entry, "accrete"), script))) return "accrete";
  if (same(join(local, "accrete"), script)) return "npx accrete";
  if (basename(dirname(script)) === ".bin") return "npx --package accrete-lm accrete";
  return `node ${quote(shortPath(script))}`;
}
