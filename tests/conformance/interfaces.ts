/** The three interfaces, as the suite sees them: each learns the first two lessons, and gives back what can be asked. */
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { resolveConfig } from "../../src/config/load.ts";
import {
  createLearner,
  type Learner,
  type ModelConfig,
  openStore,
  runExperiment,
  type Store,
} from "../../src/index.ts";
import { bytesBelow } from "../support/folders.ts";
import type { Lesson, Material } from "./materials.ts";

type Bytes = Readonly<Record<string, string>>;

/** Two lessons learned. */
export interface Taught {
  /** Files of the first task after the first lesson, and after the second. */
  readonly first: { readonly before: Bytes; readonly after: Bytes };
  readonly model: Store | Learner;
  /** The same, opened or built anew from what was saved. */
  readonly restore: () => Promise<Store | Learner>;
  /** Whether what was saved holds what routes. */
  readonly restoresRouter: boolean;
}

export interface Interface {
  /** @param folder of this material and interface alone @param backbone its folder */
  teach(material: Material, folder: string, backbone: string): Promise<Taught>;
}

function newTask({ name, train, types }: Lesson) {
  return { name, train, ...(types && { types }) };
}

/** Another model like it, that learned one lesson: to be merged into the first. */
export async function teachAlone(
  kind: "store" | "learner",
  { settings }: Material,
  lesson: Lesson,
  folder: string,
  backbone: string,
): Promise<Store | Learner> {
  const config: ModelConfig = { ...settings, backbone };
  const model = kind === "store" ? await openStore(folder, { create: config }) : await createLearner(config);
  onTestFinished(() => model[Symbol.asyncDispose]());
  await model.learn(newTask(lesson));
  return model;
}

export const learnThird = (model: Store | Learner, { lessons: [, , third] }: Material) =>
  model.learn(newTask(third));

export const interfaces = {
  experiment: {
    async teach({ settings, writeStream }, folder, backbone) {
      const own = await writeStream(folder);
      const config = resolveConfig({ ...settings, backbone, ...own, out: "run" }, folder);
      const filesOfFirst = () => bytesBelow(join(folder, "run", "adapters", "task-0"));
      let before: Bytes = {};
      for await (const event of runExperiment(config))
        if (event.type === "task-learned" && event.task === 0) before = await filesOfFirst();
      const open = () => openStore(join(folder, "run"));
      return {
        first: { before, after: await filesOfFirst() },
        model: await open(),
        restore: open,
        restoresRouter: true,
      };
    },
  },
  store: {
    async teach({ settings, lessons: [first, second] }, folder, backbone) {
      const path = join(folder, "store");
      const model = await openStore(path, { create: { ...settings, backbone } });
      const filesOfFirst = () => bytesBelow(join(path, "adapters", "task-0"));
      await model.learn(newTask(first));
      const before = await filesOfFirst();
      await model.learn(newTask(second));
      return {
        first: { before, after: await filesOfFirst() },
        model,
        restore: () => openStore(path),
        restoresRouter: true,
      };
    },
  },
  learner: {
    async teach({ settings, lessons: [first, second] }, folder, backbone) {
      const model = await createLearner({ ...settings, backbone });
      await model.learn(newTask(first));
      const [saved = ""] = await model.save(join(folder, "first"));
      await model.learn(newTask(second));
      const folders = await model.save(join(folder, "both"));
      return {
        first: { before: await bytesBelow(saved), after: await bytesBelow(folders[0] ?? "") },
        model,
        restore: async () => {
          const copy = await createLearner({ ...settings, backbone });
          for (const [i, each] of folders.entries()) await copy.loadAdapter(`task-${i}`, each);
          return copy;
        },
        restoresRouter: false,
      };
    },
  },
} as const satisfies Readonly<Record<string, Interface>>;
