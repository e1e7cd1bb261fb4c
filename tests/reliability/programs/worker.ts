/** Loads the engine in a worker alone. @param argv[2] what the main thread imports before it, if anything */
import { Worker } from "node:worker_threads";

const [, , first] = process.argv;
if (first !== undefined) await import(first);
const engine = new URL("engine.ts", import.meta.url).href;
// `tsx` reads TypeScript in workers only where they ask for it.
const code = `
  import(${JSON.stringify(import.meta.resolve("tsx/esm/api"))})
    .then(({ register }) => {
      register();
      return import(${JSON.stringify(engine)});
    })
    .catch((error) => console.log(error.message));
`;
new Worker(code, { eval: true });
