/** What a server takes at most, and its defaults. */
export interface Limits {
  /** Texts of one request. */
  readonly textsPerRequest: number;
  /** UTF-16 code units of one text. */
  readonly charactersPerText: number;
  /** Bytes of a body that asks. */
  readonly bodyBytes: number;
  /** Bytes of a body that teaches. */
  readonly learnBodyBytes: number;
  /** Examples of one task, class or correction. */
  readonly examplesPerChange: number;
  /** Texts that wait for a pass; more are refused with 429. */
  readonly queuedTexts: number;
  /** Texts that are continued at once; more are refused with 429. */
  readonly queuedPrompts: number;
  /** Tokens that are handed to the engine together. */
  readonly batchTokens: number;
  /** Changes that wait for their turn in one store. */
  readonly queuedChanges: number;
  /** New tokens of a completion. */
  readonly newTokens: number;
  /** A request that asks is given up after so long. */
  readonly requestSeconds: number;
  /** Headers and body of a request must be here after so long. */
  readonly receiveSeconds: number;
  readonly connections: number;
  /** Requests a second of one address; 0: as many as it likes. */
  readonly requestsPerSecond: number;
  /** What is under way has so long to end when the server stops. */
  readonly drainSeconds: number;
}

export const defaultLimits: Limits = {
  textsPerRequest: 256,
  charactersPerText: 50_000,
  bodyBytes: 4 * 2 ** 20,
  learnBodyBytes: 64 * 2 ** 20,
  examplesPerChange: 100_000,
  queuedTexts: 2048,
  queuedPrompts: 64,
  batchTokens: 4096,
  queuedChanges: 64,
  newTokens: 1024,
  requestSeconds: 30,
  receiveSeconds: 15,
  connections: 4096,
  requestsPerSecond: 0,
  drainSeconds: 30,
};
