/** `onnx`: the frozen encoder and the immediate router, as one model that labels texts among all classes. */
import { decodeRouter } from "../continual/routers/routerFile.ts";
import type { RouterModel } from "../continual/routers/routerModel.ts";
import { routerFile } from "../continual/routing/statisticsRouting.ts";
import { encodeContributions } from "../continual/statistics/contributionFile.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import { packageVersion } from "../core/packageInfo.ts";
import { tasksWithClasses } from "../model/state.ts";
import { encodeOnnx } from "./embedded.ts";
import { asJson, configOf, tokenizerFilesOf } from "./modelFiles.ts";
import { buildRoutedModel } from "./portableModel.ts";
import { maxTokensOf, promptOf, readingNotes, requireFloat } from "./source.ts";
import type { Exporter, ExportSource } from "./types.ts";
import { onnxFile, type WebManifest, webFile, webRouterFile, webStatisticsFile } from "./webFiles.ts";

/** @throws ConfigError where what answers is no router of texts over an encoder */
function requireRoutedTexts(source: ExportSource): void {
  const { where, model } = source;
  if (model.type.name === "token-classification")
    throw new ConfigError(`${where}: finds entities, and --to onnx exports what labels whole texts`, {
      hint: "--to merged exports one task's model of entities; --to peft its adapter.",
    });
  if (model.type.name === "text-generation")
    throw new ConfigError(`${where}: answers in words, and --to onnx exports what labels texts`, {
      hint: "--to merged, --to peft and --to gguf-lora export its adapters.",
    });
  if (model.loaded.backbone.kind === "decoder")
    throw new ConfigError(
      `${where}: its backbone is a decoder, of which transformers.js has no model that labels texts`,
      { hint: "--to merged, --to peft and --to gguf-lora export its adapters." },
    );
  if (!model.keepsStatistics)
    throw new ConfigError(
      `${where}: ${model.routes ? "a selection network chooses the task, which has no ONNX form" : "has no router"}`,
      {
        hint: "Export a store, or a run with router: auto; --to merged exports one task.",
      },
    );
  if (source.task !== undefined)
    throw new ConfigError("--task: --to onnx exports all classes at once", {
      hint: "Leave it out, or export the one task with --to merged.",
    });
  requireFloat(source, "a model");
}

/** The router that answers right after a change. */
async function immediateRouter({ where, model, state, signal }: ExportSource) {
  if (tasksWithClasses(state.tasks).length === 0)
    throw new StoreError(`${where}: no class was learned yet`, { hint: "Learn one first." });
  const router = await model.fitRouter(state, "immediate", { signal });
  if (router === undefined)
    throw new StoreError(`${where}: nothing compares the classes of its tasks, so there is no router`, {
      hint: "Learn the statistics of every task: accrete learn <store> --task <its name> <its data> --statistics-only.",
    });
  const bytes = (await router.files()).get(routerFile);
  if (bytes === undefined)
    throw new ConfigError(
      `${where}: router ${model.settings.router?.kind ?? ""} comes from an extension, so it has no ONNX form`,
      {
        hint: "Choose another kind: accrete set <store> router.kind=kernel-discriminant.",
      },
    );
  return { bytes, router: decodeRouter(bytes, `${where}: ${routerFile}`).model };
}

function manifestOf(source: ExportSource, router: RouterModel, files: readonly string[]): WebManifest {
  const { settings } = source.model;
  const prompt = promptOf(source);
  const rejectRate = settings.router?.rejectRate;
  return {
    version: 1,
    accrete: packageVersion(),
    router: router.kind,
    seed: settings.seed,
    tasks: tasksWithClasses(source.state.tasks).map(({ name, labels }) => ({ name, labels: [...labels] })),
    maxTokens: maxTokensOf(source),
    ...(prompt !== undefined && { prompt }),
    ...(rejectRate !== undefined && { rejectRate }),
    files: files.toSorted(),
  };
}

export const exportRouted: Exporter = async (source) => {
  requireRoutedTexts(source);
  const { where, model, state } = source;
  const { bytes, router } = await immediateRouter(source);
  const graph = buildRoutedModel(model.loaded.backbone, model.feature, router.constants.layers, router);
  const contributions = state.tasks.flatMap(({ rows }) => rows?.contributions ?? []);
  const { constants } = router;
  const passes = model.settings.router?.secondPass ?? "off";
  const files = new Map<string, Uint8Array | string>([
    ["config.json", configOf(source, { use: "ForSequenceClassification", labels: router.labels })],
    ...(await tokenizerFilesOf(source)),
    [onnxFile, encodeOnnx(graph, where)],
    [webRouterFile, bytes],
    [webStatisticsFile, encodeContributions({ constants, contributions })],
  ]);
  files.set(webFile, asJson(manifestOf(source, router, [...files.keys()])));
  return {
    files,
    notes: [
      ...readingNotes(source),
      ...(passes === "off" ? [] : ["The second pass through adapters is no part of the model."]),
    ],
  };
};
