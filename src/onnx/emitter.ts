import { create } from "@bufbuild/protobuf";
import { GraphError } from "../core/errors.ts";
import { type HostTensor, int64, type StorageDType } from "../core/tensor.ts";
import { type Dim, dimFactors, type Shape } from "../graph/shape.ts";
import type { Node, Value, WeightSource } from "../graph/types.ts";
import { sha256 } from "../portable/hash.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from "./generated/onnx_pb.ts";

export const onnxTypes: { readonly [D in StorageDType]: DataType } = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  int32: DataType.INT32,
  int64: DataType.INT64,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
};

export type Attributes = Readonly<Record<string, AttributeProto>>;

export function int(value: number): AttributeProto {
  return create(AttributeProtoSchema, { type: AttributeType.INT, i: BigInt(value) });
}

export function ints(values: readonly number[]): AttributeProto {
  return create(AttributeProtoSchema, {
    type: AttributeType.INTS,
    ints: values.map((value) => BigInt(value)),
  });
}

export function float(value: number): AttributeProto {
  return create(AttributeProtoSchema, { type: AttributeType.FLOAT, f: value });
}

export function string(value: string): AttributeProto {
  return create(AttributeProtoSchema, { type: AttributeType.STRING, s: new TextEncoder().encode(value) });
}

function bytesOf(tensor: HostTensor): Uint8Array {
  const { data } = tensor;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The bytes of a weight, as its file stores them. */
export type EmbedWeight = (source: WeightSource) => Uint8Array;

export interface EmitOptions {
  readonly attributes?: Attributes;
  /** `com.microsoft` for ONNX Runtime's own operators. */
  readonly domain?: string;
  /** Number of outputs; 1 unless said. */
  readonly outputs?: number;
}

/** Where the bytes of a weight that stays in its file lie. */
function placeOf({ offset, length }: WeightSource, location: string) {
  const entry = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
  return {
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      entry("location", location),
      entry("offset", String(offset)),
      entry("length", String(length)),
    ],
  };
}

/** Names of the rows of a value (N, K) in 8 bits. */
export interface RoundedRows {
  /** uint8 (N, K) */
  readonly codes: string;
  /** What a step stands for in each row, (N, 1). */
  readonly steps: string;
  /** step · the code of 0, (N, 1), of rows with a zero of their own; else 128 is the code of 0. */
  readonly shifts?: string;
}

/** Collects the nodes and initialisers of one model while a graph is lowered, and names its values. */
export class Emitter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  /** Values whose rows were rounded already, by how: several products may read the same. */
  readonly roundedRows = new Map<Value, Map<string, RoundedRows>>();
  /** The code of 0 for so many rows. */
  readonly zeroCodes = new Map<Dim, string>();
  private readonly names = new Map<Value, string>();
  private readonly constants = new Map<string, string>();
  private readonly weights = new Map<string, WeightSource>();
  private readonly dimensions = new Map<Dim, string>();
  private readonly symbolSources = new Map<string, { readonly input: Value; readonly axis: number }>();
  private readonly inputNames = new Set<string>();
  private counter = 0;

  private readonly embed: EmbedWeight | undefined;

  /** @param embed gives the bytes of weights that become part of the model; absent: they stay in their files */
  constructor(inputs: readonly Node<"input">[], embed?: EmbedWeight) {
    this.embed = embed;
    for (const node of inputs) {
      const { name } = node.attributes;
      this.inputNames.add(name);
      for (const value of node.outputs) {
        // From the start: a dimension may be read off an input before any node uses it.
        this.bind(value, name);
        value.shape.forEach((dim, axis) => {
          if (typeof dim === "string" && !this.symbolSources.has(dim))
            this.symbolSources.set(dim, { input: value, axis });
        });
      }
    }
  }

  bind(value: Value, name: string): void {
    this.names.set(value, name);
  }

  nameOf(value: Value): string {
    const name = this.names.get(value);
    if (name === undefined) throw new GraphError(`emit: a value of ${value.node.kind} has no name yet`);
    return name;
  }

  /** Names of a node's operands. */
  operands(node: Node): string[] {
    return node.inputs.map((value) => this.nameOf(value));
  }

  private freshName(prefix: string): string {
    return `${prefix}_${this.counter++}`;
  }

  /** Appends an ONNX node. @returns the names of its outputs. */
  emitAll(opType: string, inputs: readonly string[], options: EmitOptions = {}): string[] {
    const outputs = Array.from({ length: options.outputs ?? 1 }, () => this.freshName(opType));
    const attribute = Object.entries(options.attributes ?? {}).map(([name, proto]) => ({ ...proto, name }));
    this.nodes.push(
      create(NodeProtoSchema, {
        opType,
        domain: options.domain ?? "",
        name: outputs[0] ?? opType,
        input: [...inputs],
        output: outputs,
        attribute,
      }),
    );
    return outputs;
  }

  emit(opType: string, inputs: readonly string[], options: EmitOptions = {}): string {
    return this.emitAll(opType, inputs, options)[0] ?? "";
  }

  /** An initialiser held in the model itself; equal small tensors are stored once. */
  constant(tensor: HostTensor): string {
    const bytes = bytesOf(tensor);
    const key = `${tensor.dtype}(${tensor.dims.join(",")})${sha256(bytes)}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known;
    const name = this.freshName("constant");
    this.initializers.push(
      create(TensorProtoSchema, {
        name,
        dataType: onnxTypes[tensor.dtype],
        dims: tensor.dims.map((dim) => BigInt(dim)),
        rawData: bytes.slice(),
      }),
    );
    this.constants.set(key, name);
    return name;
  }

  /**
   * An initialiser whose bytes stay in their own file, or become part of the model where weights are embedded.
   * @param location the file's name in the weights' folder
   * @param dataType what the bytes are, where it is not what the file says
   */
  externalWeight(
    name: string,
    source: WeightSource,
    location: string,
    dataType: DataType = onnxTypes[source.dtype],
  ): string {
    // ONNX would take the weight for the input's default, and the engine ignores what is fed to such inputs.
    if (this.inputNames.has(name))
      throw new GraphError(`emit: an input and a weight are both called "${name}"`);
    const known = this.weights.get(name);
    if (known !== undefined) {
      if (known.file !== source.file || known.offset !== source.offset)
        throw new GraphError(`emit: two different weights are called "${name}"`);
      return name;
    }
    this.initializers.push(
      create(TensorProtoSchema, {
        name,
        dataType,
        dims: source.dims.map((dim) => BigInt(dim)),
        ...(this.embed === undefined ? placeOf(source, location) : { rawData: this.embed(source) }),
      }),
    );
    this.weights.set(name, source);
    return name;
  }

  /** The value of a dimension at run time, as an int64 tensor of shape (1). */
  dimension(dim: Dim): string {
    if (typeof dim === "number") return this.constant(int64([dim], [1]));
    const known = this.dimensions.get(dim);
    if (known !== undefined) return known;
    const factors = dimFactors(dim).map(({ symbol, offset }) => {
      if (symbol === undefined) return this.constant(int64([offset], [1]));
      const bare = this.symbol(symbol);
      return offset === 0 ? bare : this.emit("Add", [bare, this.constant(int64([offset], [1]))]);
    });
    const name = factors.reduce((product, factor) => this.emit("Mul", [product, factor]));
    this.dimensions.set(dim, name);
    return name;
  }

  private symbol(symbol: string): string {
    const known = this.dimensions.get(symbol);
    if (known !== undefined) return known;
    const source = this.symbolSources.get(symbol);
    if (source === undefined) throw new GraphError(`emit: no input has the dimension ${symbol}`);
    const attributes = { start: int(source.axis), end: int(source.axis + 1) };
    const name = this.emit("Shape", [this.nameOf(source.input)], { attributes });
    this.dimensions.set(symbol, name);
    return name;
  }

  /** A shape as an int64 tensor of shape (rank). */
  shape(shape: Shape): string {
    const fixed = shape.filter((dim) => typeof dim === "number");
    if (fixed.length === shape.length) return this.constant(int64(fixed, [fixed.length]));
    return this.emit(
      "Concat",
      shape.map((dim) => this.dimension(dim)),
      { attributes: { axis: int(0) } },
    );
  }

  /** A target of Reshape: at most one dimension is left to the engine as −1, so that most targets are constant. */
  reshapeTarget(shape: Shape): string {
    const last = shape.findLastIndex((dim) => typeof dim === "string");
    return this.shape(shape.map((dim, i) => (i === last ? -1 : dim)));
  }
}
