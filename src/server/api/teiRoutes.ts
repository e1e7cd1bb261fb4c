/** Routes that clients of text-embeddings-inference speak, and `/tag` in the same manner. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { AskedText } from "../service/batcher.ts";
import type { Service } from "../service/service.ts";
import { body, json, refusals, type ServerEnv, withDeadline } from "./requests.ts";
import { answers, type Bodies } from "./schemas.ts";
import { toPipelineEntities } from "./storeRoutes.ts";

type Sequence = readonly [string] | readonly [string, string];
type Inputs = string | Sequence | readonly Sequence[];

function isBatch(inputs: Inputs): inputs is readonly Sequence[] {
  return typeof inputs !== "string" && typeof inputs[0] !== "string";
}

function toText([text, textPair]: Sequence): AskedText {
  return textPair === undefined ? text : { text, textPair };
}

function toLength1(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

const asList = (inputs: string | readonly string[]) => (typeof inputs === "string" ? [inputs] : inputs);

export function addTeiRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  const { limits } = service;

  app.openapi(
    createRoute({
      method: "post",
      path: "/predict",
      operationId: "teiPredict",
      summary: "Label texts, as text-embeddings-inference does",
      request: { body: body(bodies.teiPredict) },
      responses: {
        200: json(answers.teiPredict, "Every class with its probability, the likeliest first."),
        ...refusals,
      },
    }),
    async (c) => {
      const { inputs, model } = c.req.valid("json");
      const { store, task, snapshot } = await service.model(model);
      const texts = isBatch(inputs)
        ? inputs.map(toText)
        : [toText(typeof inputs === "string" ? [inputs] : inputs)];
      const options = { top: Math.max(1, snapshot.classes.length), ...(task !== undefined && { task }) };
      const predictions = await withDeadline(c, limits.requestSeconds, (signal) =>
        service.predict(store, texts, options, signal),
      );
      const scored = predictions.map(({ top }) => [...top]);
      const [first = []] = scored;
      return c.json(isBatch(inputs) ? scored : first, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/embed",
      operationId: "embed",
      summary: "Vectors of the frozen backbone, as text-embeddings-inference gives them",
      request: { body: body(bodies.embed) },
      responses: { 200: json(answers.embeddings, "A vector a text."), ...refusals },
    }),
    async (c) => {
      const { inputs, model, normalize = true } = c.req.valid("json");
      const { store } = await service.model(model);
      const vectors = await withDeadline(c, limits.requestSeconds, (signal) =>
        service.embed(store, asList(inputs), signal),
      );
      return c.json(
        vectors.map((vector) => [...(normalize ? toLength1(vector) : vector)]),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/tag",
      operationId: "teiTag",
      summary: "Find entities, as transformers' token classification gives them",
      request: { body: body(bodies.tag) },
      responses: { 200: json(answers.teiTag, "The entities of each text."), ...refusals },
    }),
    async (c) => {
      const { inputs, model, min_score: minScore = 0 } = c.req.valid("json");
      const { store, task } = await service.model(model);
      const tagged = await withDeadline(c, limits.requestSeconds, (signal) =>
        service.tag(store, asList(inputs), { task }, signal),
      );
      return c.json(
        tagged.map((each) => toPipelineEntities(each).filter(({ score }) => score >= minScore)),
        200,
      );
    },
  );
}
