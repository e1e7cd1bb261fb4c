import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  countEntities,
  type EntityMode,
  type EntityScore,
  type EntityScores,
  findEntities,
  poolCounts,
  scoreCounts,
  scoreEntities,
} from "../../../src/continual/taskTypes/entityMetrics.ts";
import { DataError, StoreError } from "../../../src/core/errors.ts";
import { typeMatrix } from "../../../src/core/typeMatrix.ts";
import { tolerances } from "../../support/tolerances.ts";

const scores = z.tuple([z.number(), z.number(), z.number()]);
const modeSchema = z.object({
  micro: scores,
  macro: scores.nullable(),
  support: z.number(),
  types: z.record(z.string(), z.tuple([z.number(), z.number(), z.number(), z.number()])),
});
const cases = z
  .array(
    z.object({
      gold: z.array(z.string()),
      predicted: z.array(z.string()),
      entities: z.array(z.tuple([z.string(), z.number(), z.number()])),
      default: modeSchema,
      strict: modeSchema.nullable(),
    }),
  )
  .parse(JSON.parse(readFileSync(new URL("../../goldens/seqeval/cases.json", import.meta.url), "utf8")));

function split(sentences: readonly string[]): string[][] {
  return sentences.map((sentence) => (sentence === "" ? [] : sentence.split(" ")));
}

/** Every figure by name, so that a failure says which one. */
function flatten(micro: EntityScore, macro: EntityScore | undefined, perType: Record<string, EntityScore>) {
  return { micro, macro, ...perType };
}

function golden([precision, recall, f1]: readonly number[], support: number): EntityScore {
  return { precision: precision ?? Number.NaN, recall: recall ?? Number.NaN, f1: f1 ?? Number.NaN, support };
}

function expectScores(actual: EntityScores, expected: z.infer<typeof modeSchema>, what: string) {
  const macro = expected.macro === null ? undefined : golden(expected.macro, expected.support);
  const types = Object.entries(expected.types).map(([type, row]) => [type, golden(row, row[3])] as const);
  const wanted = flatten(golden(expected.micro, expected.support), macro, Object.fromEntries(types));
  const found = flatten(actual.micro, actual.macro, { ...actual.perType });
  expect(Object.keys(found), what).toEqual(Object.keys(wanted));
  for (const [name, score] of Object.entries(wanted)) {
    const had = Object.entries(found).find(([key]) => key === name)?.[1];
    if (score === undefined || had === undefined) {
      expect(had, `${what}: ${name}`).toBe(score);
      continue;
    }
    for (const key of ["precision", "recall", "f1", "support"] as const)
      expect(Math.abs(had[key] - score[key]), `${what}: ${name} ${key}`).toBeLessThanOrEqual(
        tolerances.float64,
      );
  }
}

describe("scores equal seqeval's", () => {
  it("has several hundred cases, malformed ones among them", () => {
    expect(cases.length).toBeGreaterThan(400);
    expect(cases.filter(({ strict }) => strict === null).length).toBeGreaterThan(20);
    expect(cases.some(({ default: scored }) => scored.macro === null)).toBe(true);
    expect(cases.some(({ gold }) => gold.some((tags) => tags.startsWith("I-")))).toBe(true);
    expect(cases.some(({ default: a, strict: b }) => b !== null && a.micro[2] !== b.micro[2])).toBe(true);
  });

  it.each(["default", "strict"] as const)("in %s mode, on every case", (mode) => {
    for (const [i, one] of cases.entries()) {
      const [gold, predicted] = [split(one.gold), split(one.predicted)];
      const what = `case ${i}: ${one.gold.join(" / ")} | ${one.predicted.join(" / ")}`;
      const expected = one[mode];
      if (expected === null) expect(() => scoreEntities(gold, predicted, mode), what).toThrow(DataError);
      else expectScores(scoreEntities(gold, predicted, mode), expected, what);
    }
  });

  it("and so do the entities' words", () => {
    for (const { gold, entities } of cases)
      expect(
        findEntities(split(gold)[0] ?? []).map(({ type, start, end }) => [type, start, end]),
        gold[0],
      ).toEqual(entities);
  });
});

const tag = fc
  .tuple(fc.constantFrom("B", "I", "O"), fc.constantFrom("PER", "LOC", "creative-work"))
  .map(([prefix, type]) => (prefix === "O" ? "O" : `${prefix}-${type}`));
const tagPair = fc.array(fc.tuple(tag, tag), { maxLength: 8 });
const pairs = fc.array(tagPair, { maxLength: 5 });
const modes = fc.constantFrom<EntityMode>("default", "strict");

function sides(sentences: readonly (readonly (readonly [string, string])[])[]) {
  return {
    gold: sentences.map((sentence) => sentence.map(([left]) => left)),
    predicted: sentences.map((sentence) => sentence.map(([, right]) => right)),
  };
}

describe("whatever the tags", () => {
  it("entities follow one another without overlap, and each has one type", () => {
    fc.assert(
      fc.property(fc.array(tag, { maxLength: 12 }), modes, (tags, mode) => {
        let reached = 0;
        for (const { type, start, end } of findEntities(tags, mode)) {
          expect(start).toBeGreaterThanOrEqual(reached);
          expect(end).toBeGreaterThan(start);
          for (const word of tags.slice(start, end)) expect(word.slice(2)).toBe(type);
          reached = end;
        }
      }),
    );
  });

  it("strict finds nothing that default does not", () => {
    fc.assert(
      fc.property(fc.array(tag, { maxLength: 12 }), (tags) => {
        const loose = findEntities(tags);
        for (const entity of findEntities(tags, "strict")) expect(loose).toContainEqual(entity);
      }),
    );
  });

  it("a perfect prediction scores 1, gold and prediction swap precision and recall", () => {
    fc.assert(
      fc.property(pairs, modes, (sentences, mode) => {
        const { gold, predicted } = sides(sentences);
        const perfect = scoreEntities(gold, gold, mode);
        expect(perfect.micro.f1).toBe(perfect.micro.support > 0 ? 1 : 0);
        expect(perfect.macro?.f1).toBe(perfect.micro.support > 0 ? 1 : undefined);
        const [there, back] = [scoreEntities(gold, predicted, mode), scoreEntities(predicted, gold, mode)];
        expect(back.micro.precision).toBe(there.micro.recall);
        expect(back.micro.f1).toBeCloseTo(there.micro.f1, 12);
      }),
    );
  });

  it("pooled counts are those of one test set, in any order of sentences", () => {
    fc.assert(
      fc.property(pairs, fc.nat(5), modes, (sentences, cut, mode) => {
        const { gold, predicted } = sides(sentences);
        const whole = countEntities(gold, predicted, mode);
        const parts = [
          countEntities(gold.slice(cut), predicted.slice(cut), mode),
          countEntities(gold.slice(0, cut), predicted.slice(0, cut), mode),
        ];
        expect(scoreCounts(poolCounts(parts))).toEqual(scoreCounts(whole));
      }),
    );
  });
});

describe("bad input", () => {
  it("of other lengths is refused with the sentence", () => {
    expect(() => scoreEntities([["O"], ["O", "O"]], [["O"], ["O"]])).toThrow(/sentence 2 has 2 words/);
    expect(() => scoreEntities([["O"]], [])).toThrow(/1 sentences, but predictions for 0/);
  });

  it("of other tags is refused with the word", () => {
    for (const bad of ["", "X-PER", "per"])
      expect(() => findEntities(["O", bad]), bad).toThrow(/word 2: ".*" is not a tag of the default mode/);
    expect(() => findEntities(["E-PER"], "strict")).toThrow(DataError);
  });
});

describe("the matrix of types", () => {
  const row = (f1: Readonly<Record<string, number>>) => ({
    perType: Object.fromEntries(
      Object.entries(f1).map(([type, value]) => [type, { precision: 0, recall: 0, f1: value, support: 1 }]),
    ),
  });

  it("has no value before a type is learned, and forgetting is best minus last", () => {
    const matrix = typeMatrix(
      [["a", "b"], ["c"], ["d"]],
      [row({ a: 0.5, b: 0.75, c: 0.1 }), row({ a: 0.75, b: 0.5, c: 1 }), row({ a: 0.25, b: 1, d: 0.5 })],
    );
    expect(matrix).toEqual({
      types: ["a", "b", "c", "d"],
      f1: [
        [0.5, 0.75, 0.25],
        [0.75, 0.5, 1],
        [null, 1, 0],
        [null, null, 0.5],
      ],
      forgetting: [0.5, 0, 1, null],
      meanForgetting: 0.5,
    });
  });

  it("knows no forgetting of a single task, and wants one row a task", () => {
    expect(typeMatrix([["a"]], [row({ a: 1 })])).toEqual({ types: ["a"], f1: [[1]], forgetting: [null] });
    expect(() => typeMatrix([["a"], ["b"]], [row({})])).toThrow(StoreError);
    expect(() => typeMatrix([], [])).toThrow(StoreError);
  });
});
