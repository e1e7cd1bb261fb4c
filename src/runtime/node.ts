// First: it must stand in the environment before the engine is loaded.
import "./telemetry.ts";

import * as ort from "onnxruntime-node";
import { EngineError, messageOf } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import { limitedThreads } from "../io/processor.ts";
import { emitOnnx } from "../onnx/emit.ts";
import { namesOf } from "./feeds.ts";
import { SessionExecutable } from "./session.ts";
import type { CompileOptions, Runtime } from "./types.ts";

function toEngine(tensor: HostTensor): ort.Tensor {
  return new ort.Tensor(tensor.dtype, tensor.data, tensor.dims);
}

function sessionOptions(
  folder: string | undefined,
  options: CompileOptions,
): ort.InferenceSession.SessionOptions {
  const session: Record<string, string | object> = {
    intra_op: { allow_spinning: options.spin === true ? "1" : "0" },
  };
  if (folder !== undefined) session.model_external_initializers_file_folder_path = folder;
  if (options.packWeights === false) session.disable_prepacking = "1";
  return {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    // Fatal only: what goes wrong is thrown, and need not stand on the terminal as well.
    logSeverityLevel: 4,
    // Shapes change from batch to batch: patterns of memory would be kept for each.
    enableMemPattern: false,
    intraOpNumThreads: options.threads ?? limitedThreads(),
    interOpNumThreads: 1,
    extra: { session },
  };
}

/** ONNX Runtime on the CPU, from npm. */
export const nodeRuntime: Runtime = {
  name: "onnxruntime-node",
  async compile(graph, options = {}) {
    const { bytes, weightsFolder } = emitOnnx(graph);
    try {
      const session = await ort.InferenceSession.create(bytes, sessionOptions(weightsFolder, options));
      return new SessionExecutable(session, namesOf(graph), toEngine);
    } catch (cause) {
      throw new EngineError(`the engine refused the graph: ${messageOf(cause)}`, {
        cause,
        ...(weightsFolder === undefined ? {} : { hint: `weights are read from ${weightsFolder}` }),
      });
    }
  },
};
