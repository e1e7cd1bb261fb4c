// First: it must stand in the environment before the engine is loaded.
import "./telemetry.ts";

import * as ort from "onnxruntime-node";
import { EngineError, messageOf } from "../core/errors.ts";
import type { DType, HostTensor } from "../core/tensor.ts";
import type { Graph } from "../graph/types.ts";
import { limitedThreads } from "../io/processor.ts";
import { emitOnnx, type OnnxModel, outputName } from "../onnx/emit.ts";
import { checkFeeds } from "./feeds.ts";
import type { CompileOptions, Device, Executable, Runtime, Tensors } from "./types.ts";
import { processorNodes, refuseEmpty } from "./webgpu.ts";

function toEngine(tensor: HostTensor): ort.Tensor {
  return new ort.Tensor(tensor.dtype, tensor.data, tensor.dims);
}

const typedArrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

function isDType(type: string): type is DType {
  return Object.hasOwn(typedArrays, type);
}

function fromEngine(name: string, tensor: ort.Tensor | undefined): HostTensor {
  if (tensor === undefined) throw new EngineError(`output "${name}": the engine returned nothing`);
  const { type, data, dims } = tensor;
  if (!isDType(type) || !(data instanceof typedArrays[type]))
    throw new EngineError(`output "${name}": the engine returned ${type}, which is not handled`);
  return { dtype: type, dims, data };
}

type Provider = ort.InferenceSession.ExecutionProviderConfig;

class NodeExecutable implements Executable {
  private readonly graph: Graph;
  private session: ort.InferenceSession | undefined;

  private readonly device: Device;

  private readonly profiled: boolean;

  constructor(device: Device, graph: Graph, session: ort.InferenceSession, profiled: boolean) {
    this.profiled = profiled;
    this.device = device;
    this.graph = graph;
    this.session = session;
  }

  async run(feeds: Tensors): Promise<Tensors> {
    if (this.session === undefined) throw new EngineError("this session was disposed of");
    checkFeeds(this.graph, feeds);
    if (this.device !== "cpu") refuseEmpty(feeds);
    const given: Record<string, ort.Tensor> = {};
    for (const { attributes } of this.graph.inputs) {
      const tensor = feeds[attributes.name];
      if (tensor !== undefined) given[attributes.name] = toEngine(tensor);
    }
    try {
      const results = await this.session.run(given);
      return Object.fromEntries(
        Array.from(this.graph.outputs.keys(), (name) => [name, fromEngine(name, results[outputName(name)])]),
      );
    } catch (cause) {
      throw new EngineError(`the engine failed: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.session;
    this.session = undefined;
    if (this.profiled) session?.endProfiling();
    await session?.release();
  }
}

/** What the first provider cannot do, the processor does. */
const providers: Readonly<Record<Device, (nodes: OnnxModel["nodes"]) => Provider[]>> = {
  cpu: () => ["cpu"],
  webgpu: (nodes) => {
    const forceCpuNodeNames = processorNodes(nodes);
    return [{ name: "webgpu", ...(forceCpuNodeNames.length > 0 ? { forceCpuNodeNames } : {}) }, "cpu"];
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
    executionProviders: providers[device](nodes),
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

function runtimeOn(device: Device, name: string): Runtime {
  return {
    name,
    async compile(graph, options = {}) {
      const model = emitOnnx(graph);
      try {
        return new NodeExecutable(
          device,
          graph,
          await ort.InferenceSession.create(model.bytes, sessionOptions(device, model, options)),
          options.profile !== undefined,
        );
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
