/** ONNX Runtime in a browser, on the CPU: WebAssembly. */
import * as ort from "onnxruntime-web/wasm";
import { EngineError, messageOf } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import { emitOnnx } from "../onnx/emit.ts";
import { namesOf } from "./feeds.ts";
import { SessionExecutable } from "./session.ts";
import type { Executable, Runtime } from "./types.ts";

function toEngine({ dtype, data, dims }: HostTensor): ort.Tensor {
  return new ort.Tensor(dtype, data, dims);
}

/** Where the engine's own files lie, where they are not beside its module. */
export function engineFiles(address: string): void {
  ort.env.wasm.wasmPaths = address;
}

async function open(bytes: Uint8Array, what: string): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      // Fatal only: what goes wrong is thrown.
      logSeverityLevel: 4,
      enableMemPattern: false,
    });
  } catch (cause) {
    throw new EngineError(`the engine refused ${what}: ${messageOf(cause)}`, { cause });
  }
}

/** Graphs that are small enough to be made where they run: their weights are fed, or part of them. */
export const webRuntime: Runtime = {
  name: "onnxruntime-web",
  async compile(graph) {
    const { bytes, weightsFolder } = emitOnnx(graph);
    if (weightsFolder !== undefined)
      throw new EngineError(`the graph reads weights from ${weightsFolder}: a browser has no files`);
    return new SessionExecutable(await open(bytes, "the graph"), namesOf(graph), toEngine);
  },
};

/** A model that was exported, with the names of its inputs and outputs. */
export async function openOnnx(
  bytes: Uint8Array,
  where: string,
): Promise<Executable & { readonly inputs: readonly string[] }> {
  const session = await open(bytes, where);
  const { inputNames: inputs, outputNames } = session;
  const check = (feeds: Readonly<Record<string, unknown>>) => {
    const missing = inputs.find((name) => feeds[name] === undefined);
    if (missing !== undefined) throw new EngineError(`${where}: input "${missing}" is not fed`);
  };
  const names = { inputs, outputs: new Map(outputNames.map((name) => [name, name])), check };
  return Object.assign(new SessionExecutable(session, names, toEngine), { inputs });
}
