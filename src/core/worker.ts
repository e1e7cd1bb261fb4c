/** Worker threads of the package's own modules. */
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
