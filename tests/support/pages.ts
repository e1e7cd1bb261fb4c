/** The pages for people, and what can be checked in them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { packageRoot } from "../../src/core/packageInfo.ts";

export interface Page {
  /** Relative to the repository. */
  readonly path: string;
  /** Without HTML comments. */
  readonly text: string;
}

export function readPage(path: string): Page {
  const text = readFileSync(join(packageRoot, path), "utf8").replaceAll(/<!--[\s\S]*?-->/g, "");
  return { path, text };
}

export const pages: readonly Page[] = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(packageRoot, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  "demo/README.md",
  "models/accrete-mini/README.md",
  "studies/README.md",
  ...readdirSync(join(packageRoot, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => basename(name) === "README.md")
    .map((name) => `src/${name}`),
].map(readPage);

/** The fenced blocks of a language. */
export function blocksOf({ text }: Page, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? "");
}

/** Targets of links and pictures that lie in the repository, each with the place it points to. */
export function relativeLinks({ path, text }: Page): { readonly target: string; readonly file: string }[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)].map(
    (match) => match[1] ?? match[2] ?? "",
  );
  return links
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const file = target.split("#")[0] ?? "";
      return { target, file: file === "" ? path : join(dirname(path), file) };
    });
}

/** What GitHub calls the headings of a page. */
export function anchorsOf({ text }: Page): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

const ownFolders = [
  "src",
  "tests",
  "tools",
  "docs",
  "models",
  "demo",
  "configs",
  "examples",
  "bench",
  "studies",
  "deploy",
].filter((name) => existsSync(join(packageRoot, name)));
const ownPath = new RegExp(`(?<![\\w./-])(?:${ownFolders.join("|")})/[\\w./-]*`, "g");

/** Paths of repository files that stand in code, inline or fenced; patterns such as \`<task>\` are left out. */
export function pathsNamed({ text }: Page): string[] {
  const fenced = [...text.matchAll(/^```\w*\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");
  const inline = [...text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1] ?? "",
  );
  const code = [...fenced, ...inline].join("\n");
  const found = [...code.matchAll(ownPath)].filter(
    (match) => !/^[<*{…]/.test(code.slice(match.index + match[0].length)),
  );
  return [...new Set(found.map((match) => match[0].replace(/[./]+$/, "")))];
}

/** The words of a shell line as far as our pages go: quotes, comments, pipes, `&&`; redirections are dropped. */
export function splitShell(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const match of line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)) {
    const bare = match[3];
    if (bare?.startsWith("#")) break;
    if (bare === "|" || bare === "&&" || bare === ";") commands.push([]);
    else commands.at(-1)?.push(match[1] ?? match[2] ?? bare ?? "");
  }
  return commands.map(withoutRedirections).filter((words) => words.length > 0);
}

function withoutRedirections(words: readonly string[]): string[] {
  return words.filter((word, i) => !/^\d?[<>]+$/.test(word) && !/^\d?[<>]+$/.test(words[i - 1] ?? ""));
}

/** The commands of a page's shell blocks, a line that ends in a backslash joined with the next. */
export function commandsOf(page: Page): string[][] {
  return blocksOf(page, "sh")
    .flatMap((block) => block.replaceAll("\\\n", " ").split("\n"))
    .flatMap(splitShell);
}
