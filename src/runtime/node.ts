// First: it must stand in the environment before the engine is loaded.
import "./telemetry.ts";

import * as ort from "onnxruntime-node";
import { EngineError, messageOf } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import type { Graph } from "../graph/types.ts";
import { limitedThreads } from "../io/processor.ts";
import { emitOnnx, type OnnxModel } from "../onnx/emit.ts";
import { namesOf } from "./feeds.ts";
import { SessionExecutable, type SessionNames } from "./session.ts";
import type { CompileOptions, Device, Runtime } from "./types.ts";
import { processorNodes, refuseEmpty } from "./webgpu.ts";

function toEngine(tensor: HostTensor): ort.Tensor {
  return new ort.Tensor(tensor.dtype, tensor.data, tensor.dims);
}

type Provider = ort.InferenceSession.ExecutionProviderConfig;

interface DeviceRules {
  /** What the first cannot do, the next one does. */
  readonly providers: (nodes: OnnxModel["nodes"]) => Provider[];
  readonly names: (graph: Graph) => SessionNames;
}

const devices: Readonly<Record<Device, DeviceRules>> = {
  cpu: { providers: () => ["cpu"], names: namesOf },
  webgpu: {
    providers: (nodes) => {
      const forceCpuNodeNames = processorNodes(nodes);
      return [{ name: "webgpu", ...(forceCpuNodeNames.length > 0 ? { forceCpuNodeNames } : {}) }, "cpu"];
    },
    names: (graph) => {
      const { check, ...names } = namesOf(graph);
      return {
        ...names,
        check: (feeds) => {
          check(feeds);
          refuseEmpty(feeds);
        },
      };
    },
  },
};

function sessionOptions(
  device: Device,
  { weightsFolder, nodes }: OnnxModel,
  options: CompileOptions,
): ort.InferenceSession.SessionOptions {
  const session: Record<string, string | object> = {
    intra_op: { allow_spinning: options.spin === true ? "1" : "0" },
  };
  if (weightsFolder !== undefined) session.model_external_initializers_file_folder_path = weightsFolder;
  if (options.packWeights === false) session.disable_prepacking = "1";
  return {
    executionProviders: devices[device].providers(nodes),
    graphOptimizationLevel: "all",
    // Fatal only: what goes wrong is thrown, and need not stand on the terminal as well.
    logSeverityLevel: 4,
    // Shapes change from batch to batch: patterns of memory would be kept for each.
    enableMemPattern: false,
    intraOpNumThreads: options.threads ?? limitedThreads(),
    interOpNumThreads: 1,
    ...(options.profile !== undefined && { enableProfiling: true, profileFilePrefix: options.profile }),
    extra: { session },
  };
}

/** A session that writes its profile when it is released. */
function profiled(session: ort.InferenceSession) {
  return {
    run: (feeds: Readonly<Record<string, ort.Tensor>>) => session.run(feeds),
    release: () => {
      session.endProfiling();
      return session.release();
    },
  };
}

function runtimeOn(device: Device, name: string): Runtime {
  return {
    name,
    async compile(graph, options = {}) {
      const model = emitOnnx(graph);
      try {
        const session = await ort.InferenceSession.create(
          model.bytes,
          sessionOptions(device, model, options),
        );
        const own = options.profile === undefined ? session : profiled(session);
        return new SessionExecutable(own, devices[device].names(graph), toEngine);
      } catch (cause) {
        throw new EngineError(`the engine refused the graph: ${messageOf(cause)}`, {
          cause,
          ...(model.weightsFolder === undefined
            ? {}
            : { hint: `weights are read from ${model.weightsFolder}` }),
        });
      }
    },
  };
}

/** ONNX Runtime from npm, on the processor and on a GPU through WebGPU (Vulkan, Metal or Direct3D 12). */
export const nodeRuntimes: Readonly<Record<Device, Runtime>> = {
  cpu: runtimeOn("cpu", "onnxruntime-node"),
  webgpu: runtimeOn("webgpu", "onnxruntime-node on WebGPU"),
};

export const nodeRuntime = nodeRuntimes.cpu;
