import { EngineError } from "../core/errors.ts";
import { type HostTensor, sizeOf } from "../core/tensor.ts";
import { evaluateDim, formatShape } from "../graph/shape.ts";
import type { Graph } from "../graph/types.ts";
import { outputName } from "../onnx/emit.ts";
import type { SessionNames } from "./session.ts";
import type { Tensors } from "./types.ts";

/**
 * Checks what is fed against a graph's inputs and binds the symbolic dimensions.
 * @param accepts whether a tensor's type may stand for an input's; equality unless said.
 * @throws EngineError naming the input that is missing or does not fit.
 */
export function checkFeeds(
  graph: Graph,
  feeds: Tensors,
  accepts: (given: HostTensor["dtype"], wanted: HostTensor["dtype"]) => boolean = (given, wanted) =>
    given === wanted,
): ReadonlyMap<string, number> {
  const bindings = new Map<string, number>();
  for (const { attributes } of graph.inputs) {
    const { name, dtype, shape } = attributes;
    const tensor = feeds[name];
    if (tensor === undefined) throw new EngineError(`input "${name}" ${formatShape(shape)} is not fed`);
    if (!accepts(tensor.dtype, dtype))
      throw new EngineError(`input "${name}": expected ${dtype}, got ${tensor.dtype}`);
    const where = `input "${name}": expected ${formatShape(shape)}, got ${formatShape(tensor.dims)}`;
    if (tensor.dims.length !== shape.length) throw new EngineError(where);
    if (tensor.data.length !== sizeOf(tensor.dims))
      throw new EngineError(`${where} of ${tensor.data.length} elements`);
    shape.forEach((dim, axis) => {
      const size = tensor.dims[axis] ?? 0;
      if (typeof dim === "number") {
        if (size !== dim) throw new EngineError(where);
        return;
      }
      const bound = bindings.get(dim);
      if (bound !== undefined && bound !== size)
        throw new EngineError(`${where}: ${dim} is ${bound} in another input`);
      bindings.set(dim, size);
    });
  }
  // Products and sums follow from the symbols, whichever input comes first.
  for (const { attributes } of graph.inputs)
    attributes.shape.forEach((dim, axis) => {
      const expected = evaluateDim(dim, bindings);
      const size = feeds[attributes.name]?.dims[axis];
      if (size !== expected)
        throw new EngineError(
          `input "${attributes.name}": ${dim} must be ${expected} by the other inputs, got ${size}`,
        );
    });
  return bindings;
}

/** What a session of a graph that `emitOnnx` serialised takes and gives. */
export function namesOf(graph: Graph): SessionNames {
  return {
    inputs: graph.inputs.map(({ attributes }) => attributes.name),
    outputs: new Map(Array.from(graph.outputs.keys(), (name) => [name, outputName(name)])),
    check: (feeds) => {
      checkFeeds(graph, feeds);
    },
  };
}
