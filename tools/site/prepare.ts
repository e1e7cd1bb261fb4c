/**
 * Puts the site's pages together in `build`: README.md is the first one, docs/ the others, the API reference lies there already. What
 * pages link to outside of them (configurations, sources) is not part of the site: such a link becomes its text.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

const root = join(import.meta.dirname, "../..");
const build = join(import.meta.dirname, "build");

/** Where a page of the repository goes; undefined where it does not. */
function placeOf(file: string): string | undefined {
  if (file === "README.md") return "index.md";
  if (/^docs\/[\w-]+\.md$/.test(file)) return file.slice("docs/".length);
  return undefined;
}

function linkOf(label: string, target: string, page: string): string {
  if (/^[a-z]+:/.test(target) || target.startsWith("#")) return `[${label}](${target})`;
  const [path = "", anchor] = target.split("#");
  const place = placeOf(join(dirname(page), path).split(sep).join("/"));
  if (place === undefined) return label;
  const to = relative(dirname(placeOf(page) ?? ""), place);
  return `[${label}](${to.startsWith(".") ? to : `./${to}`}${anchor === undefined ? "" : `#${anchor}`})`;
}

/** Angle brackets in prose are placeholders such as <store>, which the generator would take for elements. */
function escapeProse(text: string): string {
  return text
    .split(/(^```[\s\S]*?^```$|`[^`\n]+`)/m)
    .map((part, i) =>
      i % 2 === 1
        ? part
        : part
            .replaceAll("{{", "&#123;&#123;")
            .replaceAll(/<(?!\/?(?:picture|source|img|br)\b|!--)/g, "&lt;"),
    )
    .join("");
}

function pageOf(file: string): string {
  const text = readFileSync(join(root, file), "utf8");
  const linked = text.replaceAll(/\[([^\]]+)\]\(([^)\s]+)\)/g, (_, label: string, target: string) =>
    linkOf(label, target, file),
  );
  return escapeProse(linked).replaceAll(/"(?:docs\/)?images\//g, '"/images/');
}

mkdirSync(build, { recursive: true });
const files = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
for (const file of ["README.md", ...files.map((name) => `docs/${name}`)])
  writeFileSync(join(build, placeOf(file) ?? ""), pageOf(file));
cpSync(join(root, "docs/images"), join(build, "public/images"), { recursive: true });
cpSync(join(import.meta.dirname, "vitepress"), join(build, ".vitepress"), { recursive: true });
