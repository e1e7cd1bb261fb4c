import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { builtPlaces } from "./tests/support/built.ts";

const minute = 60_000;

/** A test file's name says what it needs: nothing, or what stands before `.test.ts`. */
const suffixes = ["engine", "experiment", "e2e"] as const;

const support = (name: string) => fileURLToPath(new URL(`tests/support/${name}`, import.meta.url));
/** Examples import the package as its users do. */
const ownPackage = {
  "accrete-lm/server": fileURLToPath(new URL("src/server.ts", import.meta.url)),
  "accrete-lm/client": fileURLToPath(new URL("src/client/index.ts", import.meta.url)),
  "accrete-lm/extend": fileURLToPath(new URL("src/extend.ts", import.meta.url)),
  "accrete-lm/web": fileURLToPath(new URL("src/web/index.ts", import.meta.url)),
};
/** The engine's build for browsers, as Node can load it. */
const webEngine = {
  "onnxruntime-web/wasm": fileURLToPath(
    new URL("node_modules/onnxruntime-web/dist/ort.node.min.mjs", import.meta.url),
  ),
};
const common = {
  pool: "forks" as const,
  setupFiles: [support("cleanUp.ts")],
  testTimeout: 2 * minute,
  hookTimeout: 2 * minute,
};

export default defineConfig({
  test: {
    // The runner's default leaves one of two cores to itself.
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["tests/**/*.test.ts"],
          exclude: suffixes.map((suffix) => `tests/**/*.${suffix}.test.ts`),
          alias: {
            "onnxruntime-node": support("noEngine.ts"),
            "onnxruntime-web/wasm": support("noEngine.ts"),
          },
          // Loading our modules anew for every file would take as long as the tests.
          isolate: false,
        },
      },
      ...suffixes.map((suffix) => ({
        plugins: [builtPlaces],
        test: {
          ...common,
          name: suffix,
          include: [`tests/**/*.${suffix}.test.ts`],
          alias: { ...ownPackage, ...webEngine },
          ...(suffix === "e2e" && { testTimeout: 10 * minute, hookTimeout: 10 * minute }),
        },
      })),
    ],
  },
});
