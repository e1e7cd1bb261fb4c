import { defineConfig } from "vitest/config";

const common = { testTimeout: 120_000, hookTimeout: 120_000, pool: "forks" as const };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["tests/**/*.test.ts"],
          exclude: ["tests/**/*.e2e.test.ts"],
        },
      },
      {
        test: {
          ...common,
          name: "e2e",
          include: ["tests/**/*.e2e.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          ...common,
          name: "smoke",
          // The fast rooms, and one test that goes the whole way: well under a minute.
          include: [
            "tests/{core,graph,autodiff,data,report}/**/*.test.ts",
            "tests/app/{config,invariants}.test.ts",
          ],
        },
      },
    ],
  },
});
