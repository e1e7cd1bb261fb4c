/** Routes that clients of OpenAI and vLLM speak: `/v1/models`, `/v1/completions`, `/classify`. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import type { Service } from "../service/service.ts";
import { body, json, refuse, type ServerContext, type ServerEnv, withDeadline } from "./requests.ts";
import { answers, type Bodies, openaiErrorSchema } from "./schemas.ts";
import { DEFAULT_LISTED, pageQuery } from "./storeRoutes.ts";

/** As OpenAI's servers take it where it is not told. */
const DEFAULT_MAX_TOKENS = 16;

const refusals = {
  default: json(openaiErrorSchema, "What was refused, why, and what to do."),
} as const;

const asList = (input: string | readonly string[]) => (typeof input === "string" ? [input] : input);
const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function usageOf(prompts: readonly number[], completions: readonly number[] = []) {
  const [prompt, completion] = [sum(prompts), sum(completions)];
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

/** Stores and, of those that are open, their tasks as models: a task's parent is its store, a store's root its backbone. */
function modelsOf(service: Service, names: readonly string[]) {
  const created = seconds(service.startedAt);
  const common = { object: "model", created, owned_by: "accrete" } as const;
  return names.flatMap((store) => {
    const { backbone, tasks = [] } = service.ifOpen(store) ?? {};
    const root = backbone?.name ?? null;
    return [
      { id: store, ...common, root, parent: null },
      ...tasks.map(({ name }) => ({ id: `${store}/${name}`, ...common, root, parent: store })),
    ];
  });
}

export function addOpenaiRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  const { limits } = service;

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/models",
      operationId: "models",
      summary: "Stores and, of open ones, their tasks, as models; page by page",
      request: { query: pageQuery },
      responses: { 200: json(answers.models, "What `model` may name."), ...refusals },
    }),
    async (c) => {
      const { after, limit = DEFAULT_LISTED } = c.req.valid("query");
      const { names, hasMore } = await service.names({ after, limit });
      return c.json({ object: "list" as const, data: modelsOf(service, names), has_more: hasMore }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/classify",
      operationId: "classify",
      summary: "Label texts, as vLLM does",
      request: { body: body(bodies.classify) },
      responses: { 200: json(answers.classification, "The probabilities of all classes."), ...refusals },
    }),
    async (c) => {
      const { model, input } = c.req.valid("json");
      const { store, task, snapshot } = await service.model(model);
      const texts = asList(input);
      const { classes, tasks } = snapshot;
      const names = tasks.find(({ name }) => name === task)?.labels ?? classes;
      const options = { top: Math.max(1, names.length), ...(task !== undefined && { task }) };
      const [predictions, tokens] = await withDeadline(c, limits.requestSeconds, (signal) =>
        Promise.all([service.predict(store, texts, options, signal), service.count(store, texts, signal)]),
      );
      const data = predictions.map(({ label, top }, index) => {
        const scores = new Map(top.map((each) => [each.label, each.score]));
        const probs = names.map((name) => scores.get(name) ?? 0);
        return { index, label, probs, num_classes: names.length };
      });
      return c.json(
        {
          id: `classify-${c.get("requestId")}`,
          object: "list" as const,
          created: seconds(new Date()),
          model: model ?? store,
          data,
          usage: usageOf(tokens),
        },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/completions",
      operationId: "completions",
      summary: "Continue texts, where a store answers in words",
      request: { body: body(bodies.completions) },
      responses: {
        200: {
          description: "The continuations; with `stream` server-sent events that end with [DONE].",
          content: {
            "application/json": { schema: answers.completion },
            "text/event-stream": { schema: z.string() },
          },
        },
        ...refusals,
      },
    }),
    async (c) => {
      const {
        model,
        prompt,
        max_tokens: maxTokens = DEFAULT_MAX_TOKENS,
        stream = false,
      } = c.req.valid("json");
      const asked = await service.model(model);
      const prompts = asList(prompt);
      const head = {
        id: `cmpl-${c.get("requestId")}`,
        object: "text_completion" as const,
        created: seconds(new Date()),
        model: model ?? asked.store,
      };
      if (stream) {
        const chunk = (index: number, text: string, reason: "stop" | "length" | null) =>
          JSON.stringify({ ...head, choices: [{ index, text, logprobs: null, finish_reason: reason }] });
        return streamSSE(c, async (out) => {
          const told = prompts.map(() => "");
          const tell = (index: number, text: string) => {
            const before = told[index] ?? "";
            if (text === before || !text.startsWith(before)) return;
            told[index] = text;
            void out.writeSSE({ data: chunk(index, text.slice(before.length), null) });
          };
          // Half a character is told once it is whole, or nothing comes behind it.
          const tellWhole = (index: number, text: string) => {
            if (!text.endsWith("\ufffd")) tell(index, text);
          };
          try {
            const done = await withDeadline(c, limits.requestSeconds, (signal) =>
              service.generate(asked, prompts, maxTokens, signal, tellWhole),
            );
            for (const [index, { completion, tokens }] of done.entries()) {
              tell(index, completion);
              await out.writeSSE({ data: chunk(index, "", tokens === maxTokens ? "length" : "stop") });
            }
          } catch (error) {
            await out.writeSSE({ data: await refusedAs(c, service, error) });
          }
          await out.writeSSE({ data: "[DONE]" });
        });
      }
      const [done, promptTokens] = await withDeadline(c, limits.requestSeconds, (signal) =>
        Promise.all([
          service.generate(asked, prompts, maxTokens, signal),
          service.count(asked.store, prompts, signal),
        ]),
      );
      const choices = done.map(({ completion, tokens }, index) => ({
        index,
        text: completion,
        logprobs: null,
        finish_reason: tokens === maxTokens ? ("length" as const) : ("stop" as const),
      }));
      const usage = usageOf(
        promptTokens,
        done.map((each) => each.tokens),
      );
      return c.json({ ...head, choices, usage }, 200);
    },
  );
}

/** The head of a stream is sent: what goes wrong from then on is an event. */
async function refusedAs(c: ServerContext, { discretion }: Service, error: unknown): Promise<string> {
  return await refuse(c, discretion.refusalOf(error)).text();
}
