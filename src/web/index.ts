/** `accrete-lm/web`: exported stores in a browser, on `onnxruntime-web`. */
export type { Prediction, ScoredLabel } from "../continual/answers.ts";
export {
  AccreteError,
  CheckpointError,
  DataError,
  EngineError,
  StoreError,
} from "../core/errors.ts";
export type { ModelOptions } from "./create.ts";
export { addressSource, type FileSource } from "./files.ts";
export { deleteSaved, savedStores } from "./opfs.ts";
export { type OpenOptions, type PredictOptions, WebStore } from "./store.ts";
