/** Worker threads and processes of the package's own modules. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";

/**
 * Starts a module in a thread of its own: as it was built, or as TypeScript where the package runs from its sources.
 * @param name of the module, without its extension
 * @param from `import.meta.url` of a module beside it
 */
export function startWorker(name: string, from: string, workerData: unknown): Worker {
  if (!from.endsWith(".ts")) return new Worker(new URL(`./${name}.js`, from), { workerData });
  const loader = import.meta.resolve("tsx/esm/api");
  const module = new URL(`./${name}.ts`, from).href;
  const code = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register();
    return import(${JSON.stringify(module)});
  });`;
  return new Worker(code, { eval: true, workerData });
}

/**
 * Runs a module in a process of its own. @returns what it wrote to stdout
 * @param name of the module, without its extension
 * @param from `import.meta.url` of a module beside it
 * @throws what Node's `execFile` does if it fails or takes longer than a minute
 */
export async function runModule(name: string, from: string): Promise<string> {
  const loader = from.endsWith(".ts") ? ["--import", import.meta.resolve("tsx")] : [];
  const module = fileURLToPath(new URL(`./${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from));
  const { stdout } = await promisify(execFile)(process.execPath, [...loader, module], { timeout: 60_000 });
  return stdout;
}
