/** What is answered about a store: what it keeps, and how well its classes are told apart. */
import { z } from "@hono/zod-openapi";

const tally = {
  judged: z.number().openapi({ description: "Texts that were answered by a fit without them." }),
  right: z.number(),
};

const qualitySchema = z
  .object({
    ...tally,
    classes: z.array(z.object({ label: z.string(), ...tally })),
    tasks: z.array(z.object({ task: z.string(), ...tally })),
    confused: z
      .array(z.object({ label: z.string(), answer: z.string(), texts: z.number() }))
      .openapi({ description: "Texts of one class that another was named for, the most frequent first." }),
    calibration: z
      .array(z.object({ from: z.number(), to: z.number(), meanScore: z.number(), ...tally }))
      .openapi({ description: "Answers by their score, in ten bins of equal width." }),
    tooFew: z.array(z.string()).openapi({ description: "Classes of one text, which cannot be judged." }),
  })
  .openapi("Quality");

const comparedSchema = z
  .object({ judged: z.number(), rightBefore: z.number(), rightAfter: z.number() })
  .openapi("Compared", { description: "The same texts before and after." });

const describedSchema = z
  .object({
    version: z.number(),
    statisticsBytes: z.number(),
    classes: z.array(
      z.object({
        label: z.string(),
        tasks: z.array(z.string()),
        rows: z.number().openapi({ description: "Texts that it was learned from." }),
        statisticsBytes: z.number(),
        answers: z.number().openapi({ description: "How often it was named since its store was opened." }),
        lastAnswered: z.string().optional(),
      }),
    ),
    tasks: z.array(
      z.object({
        name: z.string(),
        labels: z.array(z.string()),
        kind: z.enum(["adapter", "statistics"]),
        rows: z.number(),
        statisticsBytes: z.number(),
        forgotten: z.number(),
      }),
    ),
  })
  .openapi("Classes");

const comparison = { compared: comparedSchema.optional() };

export const insightAnswers = {
  described: describedSchema,
  quality: z
    .object({ version: z.number(), quality: qualitySchema.optional(), ...comparison })
    .openapi("VersionQuality"),
  preview: z
    .object({ before: qualitySchema.optional(), after: qualitySchema.optional(), ...comparison })
    .openapi("Preview"),
  differences: z
    .object({ classes: z.array(z.object({ label: z.string(), before: z.number(), after: z.number() })) })
    .openapi("Differences"),
} as const;
