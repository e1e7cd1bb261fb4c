/** What sessions of ONNX Runtime have in common, whichever build runs them. */
import { EngineError, messageOf } from "../core/errors.ts";
import type { DType, HostTensor } from "../core/tensor.ts";
import type { Executable, Tensors } from "./types.ts";

/** A tensor as the engine has it. */
export interface EngineTensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** A session of the engine. */
export interface EngineSession<T extends EngineTensor> {
  run(feeds: Readonly<Record<string, T>>): Promise<Readonly<Record<string, EngineTensor>>>;
  release(): Promise<void>;
}

/** What goes in and comes out of a session. */
export interface SessionNames {
  readonly inputs: readonly string[];
  /** By name, what the engine calls it. */
  readonly outputs: ReadonlyMap<string, string>;
  /** @throws EngineError naming the input that is missing or does not fit */
  check(feeds: Tensors): void;
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

function fromEngine(name: string, tensor: EngineTensor | undefined): HostTensor {
  if (tensor === undefined) throw new EngineError(`output "${name}": the engine returned nothing`);
  const { type, data, dims } = tensor;
  if (!isDType(type) || !(data instanceof typedArrays[type]))
    throw new EngineError(`output "${name}": the engine returned ${type}, which is not handled`);
  return { dtype: type, dims, data };
}

/** A session that takes and gives host tensors. */
export class SessionExecutable<T extends EngineTensor> implements Executable {
  private readonly names: SessionNames;
  private readonly toEngine: (tensor: HostTensor) => T;
  private session: EngineSession<T> | undefined;

  constructor(session: EngineSession<T>, names: SessionNames, toEngine: (tensor: HostTensor) => T) {
    this.session = session;
    this.names = names;
    this.toEngine = toEngine;
  }

  async run(feeds: Tensors): Promise<Tensors> {
    if (this.session === undefined) throw new EngineError("this session was disposed of");
    this.names.check(feeds);
    const given: Record<string, T> = {};
    for (const name of this.names.inputs) {
      const tensor = feeds[name];
      if (tensor !== undefined) given[name] = this.toEngine(tensor);
    }
    try {
      const results = await this.session.run(given);
      return Object.fromEntries(
        Array.from(this.names.outputs, ([name, theirs]) => [name, fromEngine(name, results[theirs])]),
      );
    } catch (cause) {
      throw new EngineError(`the engine failed: ${messageOf(cause)}`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.session;
    this.session = undefined;
    await session?.release();
  }
}
