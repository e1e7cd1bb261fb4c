/**
 * Builds the page that `accrete serve` shows: `npx tsx tools/page/build.ts [folder]`, by default into `dist/page`. Names of files
 * carry a hash of what is in them, so that a browser may keep them for good.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("../../src/page/", import.meta.url));

/** @returns bytes of the script */
export async function buildPage(out: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [join(source, "main.tsx"), join(source, "style.css")],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    write: false,
    outdir: out,
  });
  mkdirSync(out, { recursive: true });
  const put = (name: string, ending: string, bytes: Uint8Array): string => {
    const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
    const file = `${name}-${hash}.${ending}`;
    writeFileSync(join(out, file), bytes);
    return `/page/${file}`;
  };
  const bytesOf = (ending: string) =>
    outputFiles.find(({ path }) => path.endsWith(ending))?.contents ?? new Uint8Array();
  const script = bytesOf(".js");
  const html = readFileSync(join(source, "index.html"), "utf8")
    .replace("ICON", put("icon", "svg", readFileSync(join(source, "icon.svg"))))
    .replace("STYLE", put("style", "css", bytesOf(".css")))
    .replace("SCRIPT", put("app", "js", script));
  writeFileSync(join(out, "index.html"), html);
  return script.length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = process.argv[2] ?? fileURLToPath(new URL("../../dist/page", import.meta.url));
  console.log(`${out}: ${await buildPage(out)} bytes of script`);
}
