import { create, toBinary } from "@bufbuild/protobuf";
import { GraphError } from "../core/errors.ts";
import { type Graph, type Node, type OpKind, type Value, weightSources } from "../graph/types.ts";
import { folderName } from "../portable/paths.ts";
import { type EmbedWeight, Emitter, onnxTypes } from "./emitter.ts";
import {
  ModelProtoSchema,
  NodeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./generated/onnx_pb.ts";
import { lowerRules } from "./lower.ts";

const IR_VERSION = 10n;
const OPSET_VERSION = 21n;

/** A node of the ONNX graph: its operator, and the names of what it reads and gives. */
export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
}

export interface OnnxModel {
  /** The serialised ModelProto; a few hundred kilobytes, without the weights. */
  readonly bytes: Uint8Array;
  /** The folder that holds every weight file; undefined where the graph has no weights. */
  readonly weightsFolder: string | undefined;
  readonly nodes: readonly OnnxNode[];
}

export interface OnnxOptions {
  /** Weights become part of the model, by the bytes that this gives; default: they stay in their files. */
  readonly embed?: EmbedWeight;
  /** Outputs have their own names, for programs that ask for them; none may be that of an input or a weight. */
  readonly plainOutputs?: boolean;
}

/** An output's name in the ONNX model, where it must differ from every input's and weight's. */
export function outputName(name: string): string {
  return `output ${name}`;
}

function lower<K extends OpKind>(node: Node<K>, emitter: Emitter): void {
  lowerRules[node.kind](node, emitter);
}

function valueInfo(name: string, value: Value): ValueInfoProto {
  const dim = value.shape.map((size) => ({
    value:
      typeof size === "number"
        ? { case: "dimValue" as const, value: BigInt(size) }
        : { case: "dimParam" as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: onnxTypes[value.dtype], shape: { dim } } } },
  });
}

function weightsFolder(graph: Graph): string | undefined {
  const folders = new Set<string>();
  for (const node of graph.nodes) for (const { file } of weightSources(node)) folders.add(folderName(file));
  if (folders.size > 1)
    throw new GraphError(`weights lie in ${folders.size} folders: ${[...folders].join(", ")}`, {
      hint: "the engine maps weights from one folder; put the model's files together",
    });
  return [...folders][0];
}

/**
 * Serialises a graph as ONNX. Weights stay where they are: each initialiser names a byte range of its file. With `embed` they are
 * part of the model.
 * @throws GraphError if weights that stay in their files lie in more than one folder.
 */
export function emitOnnx(graph: Graph, { embed, plainOutputs = false }: OnnxOptions = {}): OnnxModel {
  const folder = embed === undefined ? weightsFolder(graph) : undefined;
  const nameOf = plainOutputs ? (name: string) => name : outputName;
  const emitter = new Emitter(graph.inputs, embed);
  for (const node of graph.nodes) lower(node, emitter);
  const output: ValueInfoProto[] = [];
  for (const [name, value] of graph.outputs) {
    // Through a node of its own: an output may also be an input, or be asked for twice.
    emitter.nodes.push(
      create(NodeProtoSchema, {
        opType: "Identity",
        name: nameOf(name),
        input: [emitter.nameOf(value)],
        output: [nameOf(name)],
      }),
    );
    output.push(valueInfo(nameOf(name), value));
  }
  const input = graph.inputs.flatMap((node) =>
    node.outputs.map((value) => valueInfo(node.attributes.name, value)),
  );
  const model = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: "accrete",
    opsetImport: [
      { domain: "", version: OPSET_VERSION },
      { domain: "com.microsoft", version: 1n },
    ],
    graph: { name: "accrete", node: emitter.nodes, initializer: emitter.initializers, input, output },
  });
  return { bytes: toBinary(ModelProtoSchema, model), weightsFolder: folder, nodes: emitter.nodes };
}
