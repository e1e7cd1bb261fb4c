/** What a text-classification example is; `textPair` is the second segment of pair tasks. */
export interface Example {
  readonly text: string;
  readonly textPair?: string;
  readonly words?: readonly string[];
}

export interface LabelledExample extends Example {
  readonly label: string;
}

/** One task of a stream: its labels in slot order, and its data. */
export interface Task {
  readonly name: string;
  readonly labels: readonly string[];
  readonly train: readonly LabelledExample[];
  readonly validation: readonly LabelledExample[];
  readonly test: readonly LabelledExample[];
}

/** Texts that belong to no class of the stream, for judging rejection. */
export interface OutOfScope {
  readonly validation: readonly Example[];
  readonly test: readonly Example[];
}

/** A stream of tasks, in the order in which they are learned. */
export interface TaskStream {
  readonly tasks: readonly Task[];
  readonly outOfScope?: OutOfScope;
  /** SHA-256 over the files' bytes the stream was read from, hex. */
  readonly dataHash: string;
  /** What the reader should know: rows dropped, splits made. One sentence each. */
  readonly notes: readonly string[];
}
