/** Routes that clients of other servers speak. */
import { beforeAll, describe, expect, test } from "vitest";
import { readLabelled } from "../../src/data/files/items.ts";
import { openStore } from "../../src/store/store.ts";
import { type Ask, eventsOf, served, writeStores } from "../support/servers.ts";
import { settings, statisticsOnly } from "../support/stores.ts";
import { writeTinyDecoder, writeTinyModel } from "../support/tinyModels.ts";
import { texts, writeTinyWords } from "../support/tinyStreams.ts";
import { untilEnd } from "../support/untilEnd.ts";

let root: string;
let ask: Ask;
const question = "text a g number 2004 c end";

beforeAll(async () => {
  root = await writeStores({ intents: ["aa", "bb", "cc"] });
  await writeTinyWords(root);
  await writeTinyModel(`${root}/model`);
  await writeTinyDecoder(`${root}/decoder`);
  const create = { backbone: `${root}/model`, ...settings };
  {
    await using words = await openStore(`${root}/words`, {
      create: { ...create, level: "word" },
      background: false,
    });
    const { items } = await readLabelled(`${root}/train.conll`, "word");
    await words.learn({ name: "things", train: items.slice(0, 200) });
  }
  {
    await using answers = await openStore(`${root}/answers`, {
      create: { ...create, backbone: `${root}/decoder`, head: "none" },
      background: false,
    });
    await answers.learn({ name: "letters", train: texts(["aa", "bb"]) });
  }
  const named = ["intents", "words", "answers"].map((name) => [name, `${root}/${name}`]);
  ({ ask } = untilEnd(await served(Object.fromEntries(named))));
});

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe("text-embeddings-inference's /predict", () => {
  const text = "a test number 1 a";

  test("gives every class, the likeliest first: of one text a list, of a batch a list of lists", async () => {
    const one = await ask("POST", "/predict", { inputs: text, model: "intents" });
    expect(one.status).toBe(200);
    expect(one.body.map(({ label }: { label: string }) => label).toSorted()).toEqual(["aa", "bb", "cc"]);
    const scores = one.body.map(({ score }: { score: number }) => score);
    expect(scores).toEqual(scores.toSorted((a: number, b: number) => b - a));
    expect(sum(scores)).toBeCloseTo(1, 6);
    const batch = await ask("POST", "/predict", { inputs: [[text], [text, "a pair"]], model: "intents" });
    expect(batch.body[0]).toEqual(one.body);
    expect(batch.body[1]).not.toEqual(one.body);
    const pair = await ask("POST", "/predict", { inputs: [text, "a pair"], model: "intents/letters" });
    expect(pair.body.map(({ label }: { label: string }) => label)).toHaveLength(3);
  });

  test.each([
    ["no model where several are served", { inputs: text }, 422, "Validation"],
    ["an unknown model", { inputs: text, model: "intent" }, 404, "NotFound"],
    ["an unknown task", { inputs: text, model: "intents/letter" }, 404, "NotFound"],
    ["raw scores", { inputs: text, model: "intents", raw_scores: true }, 422, "Validation"],
    ["three texts that are no batch", { inputs: ["a", "b", "c"], model: "intents" }, 422, "Validation"],
    ["no text", { inputs: [], model: "intents" }, 422, "Validation"],
  ])("%s is an error", async (_, body, status, type) => {
    const answered = await ask("POST", "/predict", body);
    expect(answered.status).toBe(status);
    expect(answered.body).toMatchObject({ error: expect.any(String), error_type: type });
  });

  test("the only store that is served needs no name", async () => {
    await using one = await served({ intents: `${root}/intents` });
    const answered = await one.ask("POST", "/predict", { inputs: text });
    expect(answered.body).toEqual((await ask("POST", "/predict", { inputs: text, model: "intents" })).body);
  });
});

test("/embed gives the frozen backbone's vectors, of length 1 unless said otherwise", async () => {
  await using store = await openStore(`${root}/intents`, { background: false });
  const [vector = new Float32Array()] = await store.embed(["a text"]);
  const raw = await ask("POST", "/embed", { inputs: ["a text"], normalize: false, model: "intents" });
  expect(raw.body).toEqual([[...vector]]);
  const { body } = await ask("POST", "/embed", { inputs: "a text", model: "intents" });
  expect(Math.hypot(...body[0])).toBeCloseTo(1, 6);
  const length = Math.hypot(...vector);
  expect(body[0][0]).toBeCloseTo((vector[0] ?? 0) / length, 6);
});

test("/tag gives entities as transformers' pipelines do, places in characters", async () => {
  const inputs = `🙂 ${question}`;
  const { status, body } = await ask("POST", "/tag", { inputs, model: "words" });
  expect(status).toBe(200);
  expect(body[0].length).toBeGreaterThan(0);
  const characters = [...inputs];
  for (const { word, start, end, entity_group: group, score } of body[0]) {
    expect(characters.slice(start, end).join("")).toBe(word);
    expect(["animal", "building", "colour", "dish"]).toContain(group);
    expect(score).toBeGreaterThan(0);
  }
  const own = await ask("POST", "/stores/words/tag", { texts: [inputs] });
  expect(own.body.texts[0].entities).toEqual(body[0]);
  const none = await ask("POST", "/tag", { inputs, model: "words", min_score: 1 });
  expect(none.body).toEqual([[]]);
  expect((await ask("POST", "/predict", { inputs, model: "words" })).status).toBe(409);
});

test("vLLM's /classify gives probabilities in the order of the classes", async () => {
  const text = "b test number 1 b";
  const { status, body } = await ask("POST", "/classify", { model: "intents", input: [text, "c c"] });
  expect(status).toBe(200);
  expect(body).toMatchObject({ object: "list", model: "intents", data: [{ index: 0, num_classes: 3 }, {}] });
  const [first] = body.data;
  const classes = ["aa", "bb", "cc"];
  expect(first.label).toBe(classes[first.probs.indexOf(Math.max(...first.probs))]);
  expect(sum(first.probs)).toBeCloseTo(1, 6);
  expect(body.usage.prompt_tokens).toBeGreaterThan(8);
  const unknown = await ask("POST", "/classify", { model: "intense", input: text });
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: "NO_SUCH_STORE", param: null } } });
});

test("/v1/models has stores, and their tasks as children", async () => {
  const { body } = await ask("GET", "/v1/models");
  expect(body.object).toBe("list");
  expect(body.data.map(({ id, parent, root }: Record<string, string>) => ({ id, parent, root }))).toEqual([
    { id: "answers", parent: null, root: "decoder" },
    { id: "answers/letters", parent: "answers", root: "decoder" },
    { id: "intents", parent: null, root: "model" },
    { id: "intents/letters", parent: "intents", root: "model" },
    { id: "words", parent: null, root: "model" },
    { id: "words/things", parent: "words", root: "model" },
  ]);
});

describe("OpenAI's /v1/completions", () => {
  const asked = { model: "answers", prompt: ["a train number 1 a", "b b"], max_tokens: 6 };

  test("continues texts as the store does", async () => {
    await using store = await openStore(`${root}/answers`, { background: false });
    const completions = await store.generate(asked.prompt, { maxNewTokens: 6 });
    const { status, body } = await ask("POST", "/v1/completions", asked);
    expect(status).toBe(200);
    expect(body.choices.map(({ text }: { text: string }) => text)).toEqual(
      completions.map(({ completion }) => completion),
    );
    expect(body.usage.completion_tokens).toBe(sum(completions.map(({ tokens }) => tokens)));
    for (const [i, { finish_reason: reason }] of body.choices.entries())
      expect(reason).toBe(completions[i]?.tokens === 6 ? "length" : "stop");
  });

  test("streams the same, token by token, and ends with [DONE]", async () => {
    const whole = (await ask("POST", "/v1/completions", asked)).body;
    const { text, headers } = await ask("POST", "/v1/completions", { ...asked, stream: true });
    expect(headers.get("content-type")).toMatch(/^text\/event-stream/);
    const events = eventsOf(text).map(({ data }) => data);
    expect(events.at(-1)).toBe("[DONE]");
    const told = ["", ""];
    for (const { choices } of events.slice(0, -1))
      for (const { index, text: piece } of choices) told[index] += piece;
    expect(told).toEqual(whole.choices.map((choice: { text: string }) => choice.text));
    expect(events.length).toBeGreaterThan(6);
  });

  test("more at once than allowed are refused with 429, and when to ask again", async () => {
    await using small = await served({ answers: `${root}/answers` }, { limits: { queuedPrompts: 2 } });
    const body = { prompt: ["a a", "b b"], max_tokens: 60 };
    const asked = await Promise.all(
      Array.from({ length: 4 }, () => small.ask("POST", "/v1/completions", body)),
    );
    const statuses = asked.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([200, 429, 429, 429]);
    const refused = asked.find(({ status }) => status === 429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused?.body.error).toMatchObject({ type: "rate_limit_error", code: "OVERLOADED" });
  });

  test.each([
    ["a temperature", { ...asked, temperature: 0.7 }, 422],
    ["a store of labels", { ...asked, model: "intents" }, 409],
    ["an unknown task", { ...asked, model: "answers/none" }, 404],
  ])("%s is refused", async (_, body, status) => {
    const answered = await ask("POST", "/v1/completions", body);
    expect(answered.status).toBe(status);
    expect(answered.body.error).toMatchObject({ message: expect.any(String), type: expect.any(String) });
  });
});

test("a task of statistics that is taught over HTTP is asked like any other", async () => {
  const body = { task: "more", examples: texts(["dd", "ee"]), ...statisticsOnly };
  expect((await ask("POST", "/stores/intents/learn", body)).body.state).toBe("done");
  const { body: models } = await ask("GET", "/v1/models");
  expect(models.data.map(({ id }: { id: string }) => id)).toContain("intents/more");
  const answered = await ask("POST", "/predict", { inputs: "d test number 1 d", model: "intents/more" });
  expect(answered.body.map(({ label }: { label: string }) => label).toSorted()).toEqual(["dd", "ee"]);
});
