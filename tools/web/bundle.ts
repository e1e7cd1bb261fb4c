/**
 * Bundles `accrete-lm/web` into dist/web, after `tsc` has put its types there: one module with everything but the engine, the
 * tokenizers beside it, and the demo page. Node's own modules in it fail the build.
 */
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** zod's messages in fifty languages are two thirds of the bundle, and only the English ones are asked for. */
const englishOnly: Plugin = {
  name: "english-only",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
  },
};

/** @param out the folder to make */
export async function bundleWeb(out: string = join(root, "dist/web")): Promise<void> {
  await mkdir(out, { recursive: true });
  // tsc wrote modules there for their types' sake; the bundle holds them.
  for (const name of await readdir(out)) if (name.endsWith(".js")) await rm(join(out, name));
  await build({
    entryPoints: [join(root, "src/web/index.ts")],
    outfile: join(out, "index.js"),
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: ["onnxruntime-web"],
    plugins: [englishOnly],
    minify: true,
    legalComments: "none",
    logLevel: "warning",
  });
  await cp(join(root, "src/data/encoding/tokenizers.wasm"), join(out, "tokenizers.wasm"));
  await cp(join(root, "src/web/demo"), join(out, "demo"), { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundleWeb();
