/** What the rest of the program asks of an adapter, whatever its kind. B batch, T tokens, D width. */
import type { Rng } from "../core/random.ts";
import type { HostTensor } from "../core/tensor.ts";
import type { Value } from "../graph/types.ts";
import type { TokenBatch } from "../nn/features.ts";
import type { Dropout, EmbeddingTransform, SiteTransform } from "../nn/layers/layers.ts";
import type { ParameterShape, Parameters } from "../nn/layers/parameters.ts";

/** What of a model an adapter has to know: its sizes, linear layers, path → (in, out), and biases, name → size. */
export interface AdapterHost {
  readonly width: number;
  readonly sites: ReadonlyMap<string, readonly [number, number]>;
  readonly biases: ReadonlyMap<string, number>;
  /** Those of the sites that read a sentence's one vector, (B, in), and not every token's. */
  readonly sentenceSites?: ReadonlySet<string>;
  /** The backbone's own weights by AutoModel name, for adapters that compute with them. */
  readonly parameters?: Parameters;
  /** Linear layers store their weight (in, out). */
  readonly fanInFanOut?: boolean;
  /** Width of the word embeddings, where it is another than that of the layers. */
  readonly embeddingWidth?: number;
  /** Some sites read, beside tokens, rows that all texts share. */
  readonly sharesRows?: boolean;
}

/** An adapter as part of a graph: its parameters are inputs, so one compiled graph serves every task. */
export interface AdapterGraph {
  /** The trainable inputs by AutoModel name. */
  readonly inputs: ReadonlyMap<string, Value>;
  readonly shapes: readonly ParameterShape[];
  readonly transform: SiteTransform;
  /** What the adapter makes of the word embeddings; absent where it leaves them alone. */
  readonly embed?: EmbeddingTransform;
  /** Backbone parameters that the adapter replaces by its own, trained ones. */
  readonly overrides: ReadonlyMap<string, Value>;
}

/** What an initialisation may read of the backbone and its tokenizer. */
export interface InitSource {
  /** The backbone's own value of a bias. */
  readBias(name: string): Promise<HostTensor<"float32">>;
  /** Rows of the word embedding table: (number of ids, D). */
  readWords(ids: readonly number[]): Promise<HostTensor<"float32">>;
  readonly vocabularySize: number;
  /** Token ids with the special tokens that the tokenizer adds. */
  tokenize(text: string): readonly number[];
}

export interface AdaptedBatch {
  readonly batch: TokenBatch;
  /** (B, T), 1 on the text's own tokens: the attention mask less what the adapter put in front. */
  readonly textMask: HostTensor<"int64">;
  /** What the adapter's part of the graph takes beside its parameters. */
  readonly feeds: Readonly<Record<string, HostTensor>>;
}

/** One kind of adapter with its settings. */
export interface AdapterMethod {
  /** Positions that it puts before every text; they count against the backbone's longest input. */
  readonly virtualTokens: number;
  /**
   * @param dropout the place's mask in training; the identity otherwise
   * @throws ConfigError if the backbone has nothing to adapt that way
   */
  build(host: AdapterHost, dropout: Dropout): AdapterGraph;
  /**
   * The adapters of S tasks, each example of a batch through its own task's. Inputs as `build`'s with S in front.
   * @param taskOf int64 (B), the place of each example's task among the S
   */
  buildStacked(host: AdapterHost, taskOf: Value): AdapterGraph;
  /**
   * How many of the backbone's lowest layers compute the same for every task; infinite where it changes no layer.
   * @throws ConfigError if the backbone has nothing to adapt that way
   */
  sharedLayers(host: AdapterHost): number;
  /** Fresh parameters for the shapes that `build` told. */
  init(
    shapes: readonly ParameterShape[],
    rng: Rng,
    source: InitSource,
  ): Promise<Map<string, HostTensor<"float32">>>;
  /** A padded batch of texts → what the graph is fed. */
  adapt(batch: TokenBatch, padId: number): AdaptedBatch;
  /** What of the settings shapes a graph, in one form however it was written: who is told alike shares a graph. */
  describe(host: AdapterHost): Readonly<Record<string, unknown>>;
}

/** A batch as it is, for adapters that put nothing in front. */
export function adaptNothing(batch: TokenBatch): AdaptedBatch {
  return { batch, textMask: batch.attentionMask, feeds: {} };
}
