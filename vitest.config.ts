import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const minute = 60_000;

/** A test file's name says what it needs: nothing, or what stands before `.test.ts`. */
const suffixes = ["engine", "experiment", "e2e"] as const;

const common = { pool: "forks" as const, testTimeout: 2 * minute, hookTimeout: 2 * minute };
const noEngine = fileURLToPath(new URL("tests/support/noEngine.ts", import.meta.url));

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["tests/**/*.test.ts"],
          exclude: suffixes.map((suffix) => `tests/**/*.${suffix}.test.ts`),
          alias: { "onnxruntime-node": noEngine },
        },
      },
      ...suffixes.map((suffix) => ({
        test: {
          ...common,
          name: suffix,
          include: [`tests/**/*.${suffix}.test.ts`],
          ...(suffix === "e2e" && { testTimeout: 10 * minute, hookTimeout: 10 * minute }),
        },
      })),
    ],
  },
});
