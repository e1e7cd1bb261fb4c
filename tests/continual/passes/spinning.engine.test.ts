import { beforeAll, expect, test } from "vitest";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import type { CompileOptions, Runtime } from "../../../src/runtime/types.ts";
import { drawTasks } from "../../support/drawnTasks.ts";
import { randomEncodings, TinyModels } from "../../support/openedModels.ts";

let models: TinyModels;
beforeAll(async () => {
  models = await TinyModels.write(["bert"]);
});

test.each([true, false])(
  "threads spin in passes and steps where nothing else computes: %s",
  async (alone) => {
    const asked: CompileOptions[] = [];
    const runtime: Runtime = {
      name: "telling",
      compile: (graph, options = {}) => {
        asked.push(options);
        return nodeRuntime.compile(graph, options);
      },
    };
    await using model = models.open("bert", {}, { runtime, alone });
    const [task] = drawTasks(model.structure, [2]);
    await model.logits(task ?? expect.unreachable(), randomEncodings([5, 3]));
    await model.frozenFeatures(randomEncodings([5]));
    await using _step = await model.compile(model.trainingGraph(false, {}).graph, true);
    expect(asked.map(({ spin = false }) => spin)).toEqual([alone, alone, alone]);
    // What runs once has nothing to wait for.
    await using _once = await model.compile(model.trainingGraph(false, {}).graph);
    expect(asked.at(-1)?.spin).toBeUndefined();
  },
);
