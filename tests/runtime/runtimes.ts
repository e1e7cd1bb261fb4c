import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Runtime } from "../../src/runtime/types.ts";

/** A runtime, and the cases it is excused from, each with its reason. */
export interface RuntimeUnderTest {
  readonly runtime: Runtime;
  readonly excused: Readonly<Record<string, string>>;
}

/** Every runtime goes through the same suite. */
export const runtimes: readonly RuntimeUnderTest[] = [
  { runtime: referenceRuntime, excused: {} },
  { runtime: nodeRuntime, excused: {} },
];
