/** What stays open until a test file's last test. */
import type { Graph } from "../../src/graph/types.ts";
import type { Executable, Runtime } from "../../src/runtime/types.ts";

const open: AsyncDisposable[] = [];

/** What `cleanUp` does after every test file: the last one opened may stand on those before it. */
export async function closeAll(): Promise<void> {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
}

/** Disposes of it when the test file ends. @returns the same */
export function untilEnd<T extends AsyncDisposable>(one: T): T {
  open.push(one);
  return one;
}

export async function compileUntilEnd(runtime: Runtime, graph: Graph): Promise<Executable> {
  return untilEnd(await runtime.compile(graph));
}
