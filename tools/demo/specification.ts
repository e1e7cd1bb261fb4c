/** One intent: its label and the sentence frames of each split. `{name}` is a slot of `fillers`. */
export interface IntentSpecification {
  readonly label: string;
  /** Frames the 40 training sentences are drawn from. */
  readonly train: readonly string[];
  /** Frames of the validation sentences: neither those of training nor those of the test. */
  readonly validation: readonly string[];
  /** One sentence a frame; other frames and other words than training, so that meaning has to carry over. */
  readonly test: readonly string[];
}

export interface TaskSpecification {
  readonly name: string;
  readonly intents: readonly IntentSpecification[];
}
