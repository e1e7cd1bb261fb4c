/**
 * Processes and threads of the built package begin in a third of the time that they take from TypeScript: tests start those,
 * where the package was built since its sources were last changed.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

function lastChange(folder: string): number {
  const below = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return Math.max(...below.map((path) => statSync(join(folder, path)).mtimeMs));
}

/** The last file that `npm run build` writes for Node. */
const builtCli = join(root, "dist/cli/main.js");
const isBuilt = existsSync(builtCli) && statSync(builtCli).mtimeMs > lastChange(join(root, "src"));

/** How a process of its own runs the command line: arguments of `node` before the command's. */
export const cliArguments: readonly string[] = isBuilt
  ? [builtCli]
  : ["--import", "tsx", join(root, "src/cli/main.ts")];

/** Modules that start threads and processes of modules beside them. */
const starters = ["server/engine/engine", "store/background", "sweep/childRun"];

/** A plugin of the test runner: what these modules start is the built one. */
export const builtPlaces = {
  name: "built places",
  enforce: "pre",
  transform(code: string, path: string): string | undefined {
    const starter = starters.find((each) => path === join(root, `src/${each}.ts`));
    if (!isBuilt || starter === undefined) return undefined;
    const place = JSON.stringify(new URL(`../../dist/${starter}.js`, import.meta.url));
    return code.replaceAll("import.meta.url", place);
  },
} as const;
