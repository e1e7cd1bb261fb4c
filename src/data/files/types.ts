/** What a text-classification example is; `textPair` is the second segment of pair tasks. */
export interface Example {
  readonly text: string;
  readonly textPair?: string;
  readonly words?: readonly string[];
}

export interface LabelledExample extends Example {
  readonly label: string;
}

/** Data to learn from, to choose when to stop by, and to measure accuracy on. */
export interface Splits<T> {
  readonly train: readonly T[];
  readonly validation: readonly T[];
  readonly test: readonly T[];
}

/** As published: there may be no validation split. */
export interface PublishedSplits<T> {
  readonly train: readonly T[];
  readonly validation?: readonly T[];
  readonly test: readonly T[];
}

/** One task of a stream: its labels in slot order, and its data. */
export interface Task extends Splits<LabelledExample> {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Texts that belong to no class of the stream, to measure rejection on. */
export type OutOfScope = Omit<Splits<Example>, "train">;

/** Tasks in the order in which they are learned. */
export interface Stream<T> {
  readonly tasks: readonly T[];
  /** SHA-256 over the files' bytes the stream was read from, hex. */
  readonly dataHash: string;
  /** What the reader should know: rows dropped, splits made. One sentence each. */
  readonly notes: readonly string[];
}

export interface TaskStream extends Stream<Task> {
  readonly outOfScope?: OutOfScope;
}
