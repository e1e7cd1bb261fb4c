import { StoreError } from "../../core/errors.ts";
import { readManifest } from "../manifest.ts";
import type { OpenRunOptions, Predictor } from "../types.ts";
import { openStore } from "./store.ts";

/** Whether a folder is a store by now, and not the folder of an experiment alone. */
export async function holdsStore(folder: string): Promise<boolean> {
  return (await readManifest(folder))?.store !== undefined;
}

/** A store as what answers for a run's folder. */
export async function openStoreForPrediction(folder: string, options: OpenRunOptions): Promise<Predictor> {
  const store = await openStore(folder, options);
  return {
    level: "sentence",
    tasks: store.tasks,
    predict: (examples, how) => store.predict(examples, how),
    findEntities: () =>
      Promise.reject(
        new StoreError("findEntities: this was learned at level sentence", { hint: "Use predict." }),
      ),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
