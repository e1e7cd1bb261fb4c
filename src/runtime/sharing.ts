/** One session for all who ask for the same graph: several stores on one backbone hold its weights once. */
import { createHash } from "node:crypto";
import { type Graph, isKind, type Value } from "../graph/types.ts";
import type { CompileOptions, Executable, Runtime } from "./types.ts";

interface Held {
  readonly executable: Promise<Executable>;
  holders: number;
}

/** Everything that a graph computes from: operators, attributes and edges; weights by their place, constants by their bytes. */
function hashOf({ nodes, outputs }: Graph): string {
  const hash = createHash("sha256");
  const numbers = new Map(nodes.map((node, i) => [node, i]));
  const placeOf = ({ node, index, dtype, shape }: Value) => [numbers.get(node), index, dtype, shape];
  for (const node of nodes) {
    if (isKind(node, "constant")) {
      const { dtype, dims, data } = node.attributes.tensor;
      hash.update(JSON.stringify([dtype, dims]));
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    } else hash.update(JSON.stringify([node.kind, node.attributes, node.inputs.map(placeOf)]));
  }
  return hash
    .update(JSON.stringify([...outputs].map(([name, value]) => [name, placeOf(value)])))
    .digest("hex");
}

function keyOf(graph: Graph, options: CompileOptions): string {
  const { threads = 0, packWeights = true, spin = false } = options;
  return `${hashOf(graph)} ${threads} ${packWeights} ${spin}`;
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
