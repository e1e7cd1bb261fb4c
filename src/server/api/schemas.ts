/** What requests and answers look like; a server's limits are part of it, so that its document tells them. */
import { z } from "@hono/zod-openapi";
import { changeKinds, jobStates } from "../service/jobs.ts";
import { keptReasons } from "../service/kept.ts";
import type { Limits } from "../service/limits.ts";
import { insightAnswers } from "./insightSchemas.ts";

/** Half of a pair of UTF-16 code units: no UTF-8 can hold it. */
const loneSurrogate = /\p{Surrogate}/u;

export const errorSchema = z
  .object({
    error: z.string().openapi({ description: "Where, what, and what to do." }),
    error_type: z.string().openapi({ example: "Validation" }),
    code: z
      .string()
      .openapi({ description: "Stays the same from version to version.", example: "NO_SUCH_TASK" }),
    request_id: z.string(),
  })
  .openapi("Error");

export const openaiErrorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.null(),
      code: z.string(),
    }),
  })
  .openapi("OpenAIError");

const scored = z.object({ label: z.string(), score: z.number() }).openapi("ScoredLabel");

const predictionSchema = z
  .object({
    text: z.string(),
    label: z
      .string()
      .nullable()
      .openapi({ description: "Null where the text is taken to be of no known class." }),
    score: z.number(),
    task: z.string(),
    top: z.array(scored),
    unknown: z
      .number()
      .optional()
      .openapi({ description: "The probability that the text is of no class learned." }),
    set: z.array(z.string()).optional(),
    setCalibrated: z.literal(false).optional(),
    passes: z.number(),
    version: z.number().optional(),
    router: z.string().optional(),
  })
  .openapi("Prediction");

const entitySchema = z
  .object({
    entity_group: z.string(),
    score: z.number(),
    word: z.string(),
    start: z.number().openapi({ description: "In characters (code points), as Python counts." }),
    end: z.number(),
  })
  .openapi("Entity");

const taggedSchema = z
  .object({
    text: z.string(),
    entities: z.array(entitySchema),
    passes: z.number(),
    version: z.number().optional(),
    router: z.string().optional(),
  })
  .openapi("TaggedText");

const jobSchema = z
  .object({
    id: z.string(),
    store: z.string(),
    kind: z.enum(changeKinds),
    state: z.enum(jobStates),
    created: z.string(),
    ended: z.string().optional(),
    result: z
      .record(z.string(), z.unknown())
      .optional()
      .openapi({ description: "What the change gave, `version` among it." }),
    error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
    events: z.string().openapi({ description: "Where its progress is told as server-sent events." }),
  })
  .openapi("Job");

const statusSchema = z
  .object({
    store: z.string(),
    version: z.number(),
    level: z.enum(["sentence", "word"]),
    taskType: z.string(),
    backbone: z.object({ name: z.string(), hash: z.string() }),
    classes: z.array(z.string()),
    tasks: z.array(z.object({ name: z.string(), labels: z.array(z.string()) })),
    router: z.string().optional(),
    consolidated: z.string().optional(),
    prompt: z
      .string()
      .optional()
      .openapi({ description: "What a text is put into before it is answered in words." }),
    problem: z.string().optional(),
    changesUnderWay: z.number(),
  })
  .openapi("StoreStatus");

const versionsSchema = z
  .object({
    versions: z.array(z.object({ version: z.number(), change: z.string(), time: z.string().optional() })),
  })
  .openapi("Versions");

const keptSchema = z
  .object({
    id: z.string(),
    time: z.string(),
    reason: z.enum(keptReasons),
    text: z.string(),
    label: z.string().nullable(),
    score: z.number().optional(),
    unknown: z.number().optional(),
    version: z.number().optional(),
  })
  .openapi("KeptText");

const usageSchema = z
  .object({ prompt_tokens: z.number(), completion_tokens: z.number(), total_tokens: z.number() })
  .openapi("Usage");

/** What is answered; the same for every server. */
export const answers = {
  error: errorSchema,
  prediction: predictionSchema,
  predictions: z.object({ predictions: z.array(predictionSchema) }).openapi("Predictions"),
  tagged: z.object({ texts: z.array(taggedSchema) }).openapi("TaggedTexts"),
  job: jobSchema,
  jobs: z.object({ jobs: z.array(jobSchema) }).openapi("Jobs"),
  status: statusSchema,
  versions: versionsSchema,
  kept: z.object({ texts: z.array(keptSchema) }).openapi("KeptTexts"),
  removed: z.object({ removed: z.number() }).openapi("Removed"),
  groups: z.object({ groups: z.array(z.array(keptSchema)) }).openapi("KeptGroups"),
  near: z
    .object({ texts: z.array(z.object({ text: z.string(), label: z.string(), similarity: z.number() })) })
    .openapi("NearTexts"),
  ...insightAnswers,
  teiPredict: z.union([z.array(scored), z.array(z.array(scored))]).openapi("TeiPredictions"),
  teiTag: z.array(z.array(entitySchema)).openapi("TeiEntities"),
  embeddings: z.array(z.array(z.number())).openapi("Embeddings"),
  classification: z
    .object({
      id: z.string(),
      object: z.literal("list"),
      created: z.number(),
      model: z.string(),
      data: z.array(
        z.object({
          index: z.number(),
          label: z.string().nullable(),
          probs: z.array(z.number()).openapi({ description: "In the order of the model's classes." }),
          num_classes: z.number(),
        }),
      ),
      usage: usageSchema,
    })
    .openapi("Classification"),
  models: z
    .object({
      object: z.literal("list"),
      data: z.array(
        z.object({
          id: z.string(),
          object: z.literal("model"),
          created: z.number(),
          owned_by: z.literal("accrete"),
          root: z
            .string()
            .nullable()
            .openapi({ description: "The backbone; null where the store is not open." }),
          parent: z.string().nullable(),
        }),
      ),
      has_more: z.boolean().openapi({ description: "Whether there are stores behind the last one." }),
    })
    .openapi("Models"),
  stores: z
    .object({
      stores: z.array(
        z.object({
          name: z.string(),
          open: z.boolean(),
          version: z.number().optional(),
          backbone: z.string().optional(),
        }),
      ),
      hasMore: z.boolean(),
    })
    .openapi("Stores"),
  completion: z
    .object({
      id: z.string(),
      object: z.literal("text_completion"),
      created: z.number(),
      model: z.string(),
      choices: z.array(
        z.object({
          index: z.number(),
          text: z.string(),
          logprobs: z.null(),
          finish_reason: z.enum(["stop", "length"]).nullable(),
        }),
      ),
      usage: usageSchema.optional(),
    })
    .openapi("Completion"),
} as const;

/** What is asked: bodies with the limits of a server. */
export function bodiesFor(limits: Limits) {
  const { textsPerRequest, charactersPerText, examplesPerChange, newTokens } = limits;
  const text = z
    .string()
    .max(charactersPerText)
    .refine((value) => !loneSurrogate.test(value), { error: "a text that UTF-8 can hold" });
  const name = z.string().min(1).max(512);
  const model = name
    .optional()
    .openapi({ description: "A store, or `store/task`; needed where several stores are served." });
  const texts = z.array(text).min(1).max(textsPerRequest);
  const one = z.tuple([text]);
  const pair = z.tuple([text, text]);
  const labelled = z.strictObject({ text, textPair: text.optional(), label: name });
  const words = z.strictObject({ words: z.array(text).max(charactersPerText), tags: z.array(name) });
  const examples = z
    .array(z.union([labelled, words]))
    .min(1)
    .max(examplesPerChange);
  const asking = {
    task: name.optional().openapi({ description: "Answer with this task's own head." }),
    exact: z
      .boolean()
      .optional()
      .openapi({ description: "Ask every adapter, where a router was learned too." }),
  };
  const ifVersion = z
    .int()
    .min(1)
    .optional()
    .openapi({ description: "Refuse with 409 unless the store is at this version." });
  const truncate = z
    .literal(true)
    .optional()
    .openapi({ description: "Texts are always cut as the store's settings say." });
  return {
    predict: z
      .strictObject({
        texts,
        ...asking,
        coverage: z.number().gt(0).lt(1).optional(),
        top: z.int().min(1).max(1000).optional().openapi({ description: "Default 5." }),
      })
      .openapi("PredictRequest"),
    learn: z
      .union([
        z.strictObject({
          task: name,
          examples,
          validation: examples.optional(),
          types: z.array(name).optional(),
          statisticsOnly: z.boolean().optional(),
        }),
        z.strictObject({
          class: name,
          texts: z.array(text).min(1).max(examplesPerChange),
          task: name.optional(),
        }),
      ])
      .openapi("LearnRequest"),
    forget: z
      .union([
        z.strictObject({ class: name, purge: z.boolean().optional(), ifVersion }),
        z.strictObject({ task: name, purge: z.boolean().optional(), ifVersion }),
      ])
      .openapi("ForgetRequest"),
    rollback: z
      .strictObject({
        to: z.int().min(1).optional().openapi({ description: "Default: the version before." }),
        ifVersion,
      })
      .openapi("RollbackRequest"),
    merge: z
      .strictObject({ other: name.openapi({ description: "The name of another store that is served." }) })
      .openapi("MergeRequest"),
    corrections: z
      .strictObject({
        corrections: z
          .array(z.strictObject({ text, label: name }))
          .min(1)
          .max(examplesPerChange),
      })
      .openapi("CorrectionsRequest"),
    nearest: z
      .strictObject({ text, most: z.int().min(1).max(50).optional().openapi({ description: "Default 3." }) })
      .openapi("NearestRequest"),
    teiPredict: z
      .strictObject({
        inputs: z
          .union([
            text,
            one,
            pair,
            z
              .array(z.union([one, pair]))
              .min(1)
              .max(textsPerRequest),
          ])
          .openapi({ description: "A text, a pair of texts, or a batch: [[text], [text, text], …]." }),
        model,
        truncate,
        raw_scores: z.literal(false).optional(),
      })
      .openapi("TeiPredictRequest"),
    embed: z
      .strictObject({
        inputs: z.union([text, texts]),
        model,
        truncate,
        normalize: z.boolean().optional().openapi({ description: "To length 1; default true." }),
      })
      .openapi("TeiEmbedRequest"),
    tag: z
      .strictObject({
        inputs: z.union([text, texts]),
        model,
        min_score: z.number().min(0).max(1).optional(),
      })
      .openapi("TagRequest"),
    classify: z
      .strictObject({ model, input: z.union([text, texts]), user: z.string().max(512).optional() })
      .openapi("ClassifyRequest"),
    completions: z
      .strictObject({
        model,
        prompt: z.union([text, texts]),
        max_tokens: z.int().min(1).max(newTokens).optional().openapi({ description: "Default 16." }),
        stream: z.boolean().optional(),
        temperature: z
          .literal(0)
          .optional()
          .openapi({ description: "The likeliest token is taken each time." }),
        n: z.literal(1).optional(),
        user: z.string().max(512).optional(),
      })
      .openapi("CompletionRequest"),
    forgetKept: z
      .strictObject({
        id: name.optional(),
        text: text.optional(),
      })
      .openapi("ForgetKeptRequest"),
  } as const;
}

export type Bodies = ReturnType<typeof bodiesFor>;
