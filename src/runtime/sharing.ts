/** One session for all who ask for the same graph: several stores on one backbone hold its weights once. */
import { createHash } from "node:crypto";
import type { Graph } from "../graph/types.ts";
import { emitOnnx } from "../onnx/emit.ts";
import type { CompileOptions, Executable, Runtime } from "./types.ts";

interface Held {
  readonly executable: Promise<Executable>;
  holders: number;
}

/** What the engine is given, weights by their place: what is equal there computes the same. */
function keyOf(graph: Graph, options: CompileOptions): string {
  const { bytes, weightsFolder = "" } = emitOnnx(graph);
  const { threads = 0, packWeights = true, spin = false } = options;
  return `${createHash("sha256").update(bytes).digest("hex")} ${threads} ${packWeights} ${spin} ${weightsFolder}`;
}

/** A runtime that compiles equal graphs once; the session ends with the last of its holders. */
export function sharing(runtime: Runtime): Runtime {
  const all = new Map<string, Held>();
  const release = async (key: string, held: Held) => {
    held.holders--;
    if (held.holders > 0) return;
    if (all.get(key) === held) all.delete(key);
    await (await held.executable)[Symbol.asyncDispose]();
  };
  return {
    name: runtime.name,
    async compile(graph, options = {}) {
      const key = keyOf(graph, options);
      const held = all.get(key) ?? { executable: runtime.compile(graph, options), holders: 0 };
      all.set(key, held);
      held.holders++;
      try {
        const executable = await held.executable;
        let ended: Promise<void> | undefined;
        return {
          run: (feeds) => executable.run(feeds),
          [Symbol.asyncDispose]: () => {
            ended ??= release(key, held);
            return ended;
          },
        };
      } catch (error) {
        // Whoever asks next tries anew.
        if (all.get(key) === held) all.delete(key);
        throw error;
      }
    },
  };
}
