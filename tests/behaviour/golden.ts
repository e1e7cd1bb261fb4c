/** What a scenario computed, as a readable file; and how far two of them differ. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { tolerances } from "../support/tolerances.ts";
import type { Answer, Outcome, Tensor } from "./scenario.ts";

interface Summary {
  readonly sha256: string;
  readonly dims: string;
  readonly mean: number;
  readonly norm: number;
  readonly samples: readonly number[];
}

export interface Golden {
  readonly figures: Readonly<Record<string, unknown>>;
  readonly answers: Readonly<Record<string, readonly Answer[]>>;
  readonly tensors: Readonly<Record<string, Summary>>;
}

/** Entries of a tensor that are kept, evenly spread. */
const sampled = 8;

const goldens = new URL("./goldens/", import.meta.url);

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`${name}.json`, goldens));
}

function round(value: number, digits: number): number {
  return Number(value.toPrecision(digits));
}

/** Statistics keep rows of int16 as bytes: as numbers they say more. */
function numbersOf({ data }: Tensor): readonly number[] {
  const paired = data instanceof Uint8Array && data.byteLength % 2 === 0;
  return Array.from(paired ? new Int16Array(data.slice().buffer) : data, Number);
}

function summarize(tensor: Tensor): Summary {
  const { data, dims } = tensor;
  const values = numbersOf(tensor);
  const count = Math.min(sampled, values.length);
  const sum = values.reduce((total, x) => total + x, 0);
  const squares = values.reduce((total, x) => total + x * x, 0);
  const place = (i: number) => Math.floor((i * (values.length - 1)) / Math.max(1, count - 1));
  return {
    sha256: createHash("sha256")
      .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      .digest("hex"),
    dims: dims.join(),
    mean: round(sum / Math.max(1, values.length), 7),
    norm: round(Math.sqrt(squares), 7),
    samples: Array.from({ length: count }, (_, i) => round(values[place(i)] ?? 0, 7)),
  };
}

function roundScores(answer: Answer): Answer {
  if ("entities" in answer)
    return { entities: answer.entities.map((each) => ({ ...each, score: round(each.score, 6) })) };
  if ("completion" in answer) return answer;
  const { score, next } = answer;
  return { ...answer, score: round(score, 6), next: next && [next[0], round(next[1], 6)] };
}

function sorted<V, W>(map: ReadonlyMap<string, V>, to: (value: V) => W): Record<string, W> {
  const entries = [...map].map(([key, value]) => [key, to(value)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function goldenOf({ tensors, figures, answers }: Outcome): Golden {
  return {
    figures: sorted(figures, (value) => value),
    answers: sorted(answers, (given) => given.map(roundScores)),
    tensors: sorted(tensors, summarize),
  };
}

/** JSON with one figure, answer or tensor a line, so that a difference shows where it is. */
export function encodeGolden({ figures, answers, tensors }: Golden): string {
  const table = (section: Readonly<Record<string, unknown>>, encode: (value: unknown) => string) =>
    Object.entries(section)
      .map(([key, value]) => `    ${JSON.stringify(key)}: ${encode(value)}`)
      .join(",\n");
  const line = (value: unknown) => JSON.stringify(value) ?? "null";
  const lines = (value: unknown) =>
    Array.isArray(value)
      ? `[\n${value.map((each) => `      ${line(each)}`).join(",\n")}\n    ]`
      : line(value);
  const sections = [
    `  "figures": {\n${table(figures, line)}\n  }`,
    `  "answers": {\n${table(answers, lines)}\n  }`,
    `  "tensors": {\n${table(tensors, line)}\n  }`,
  ];
  return `{\n${sections.join(",\n")}\n}\n`;
}

export async function readGolden(name: string): Promise<Golden> {
  return JSON.parse(await readFile(goldenPath(name), "utf8"));
}

export async function writeGolden(name: string, golden: Golden): Promise<void> {
  await writeFile(goldenPath(name), encodeGolden(golden));
}

/**
 * `exact`: byte for byte, as on the machine that recorded. `near`: within tolerances. `rough`: within wide ones, and of the
 * weights that belong to no task nothing.
 */
export type Closeness = "exact" | "near" | "rough";

type Alike<V> = (actual: V, expected: V) => boolean;

const same: Alike<unknown> = (actual, expected) => JSON.stringify(actual) === JSON.stringify(expected);

interface Sections {
  readonly figures: Alike<unknown>;
  readonly answers: Alike<Answer>;
  readonly tensors: Alike<Summary>;
  /** Tensors that are not compared. */
  readonly without: readonly RegExp[];
}

/** Attention does not change with a key's bias, so that its gradient is rounding, and the optimiser follows it. */
const undetermined = /key\.bias$/;
/** What is fitted to all tasks together. */
const shared = /^all /;

function within(tolerance: number): Omit<Sections, "without"> {
  const near = (actual: number, expected: number, scale = 1) =>
    Math.abs(actual - expected) <= tolerance * scale;
  const figures: Alike<unknown> = (actual, expected) =>
    typeof actual === "number" && typeof expected === "number"
      ? near(actual, expected, Math.max(1, Math.abs(expected)))
      : same(actual, expected);
  const tensors: Alike<Summary> = (actual, expected) => {
    const entries = expected.dims.split(",").reduce((product, dim) => product * Number(dim), 1);
    const scale = Math.max(
      expected.norm / Math.sqrt(Math.max(1, entries)),
      ...expected.samples.map(Math.abs),
    );
    return (
      actual.dims === expected.dims &&
      near(actual.norm, expected.norm, expected.norm) &&
      near(actual.mean, expected.mean, scale) &&
      actual.samples.every((x, i) => near(x, expected.samples[i] ?? Number.NaN, scale))
    );
  };
  const answers: Alike<Answer> = (actual, expected) => {
    if ("entities" in actual && "entities" in expected) {
      const [mine, theirs] = [actual.entities, expected.entities];
      const alike = ({ type, at, score }: (typeof mine)[number], i: number) =>
        theirs[i]?.type === type && theirs[i].at === at && near(score, theirs[i].score);
      return mine.length === theirs.length && mine.every(alike);
    }
    if (!("label" in actual && "label" in expected)) return same(actual, expected);
    // Where two labels are about as likely, either may come first.
    const tied = expected.next !== null && near(expected.score, expected.next[1], 2);
    const named = actual.label === expected.label && actual.task === expected.task;
    return near(actual.score, expected.score) && (named || tied);
  };
  return { figures, answers, tensors };
}

const sections: { readonly [C in Closeness]: Sections } = {
  exact: { figures: same, answers: same, tensors: same, without: [] },
  near: { ...within(tolerances.behaviour), without: [undetermined] },
  rough: { ...within(tolerances.behaviourRough), without: [undetermined, shared] },
};

function compare<V>(
  section: string,
  actual: Readonly<Record<string, V>>,
  expected: Readonly<Record<string, V>>,
  alike: Alike<V>,
): string[] {
  const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  return [...keys].flatMap((key) => {
    const [mine, theirs] = [actual[key], expected[key]];
    if (mine !== undefined && theirs !== undefined && alike(mine, theirs)) return [];
    return [`${section} ${key}: got ${JSON.stringify(mine)}, the golden says ${JSON.stringify(theirs)}`];
  });
}

function oneByOne(answers: Golden["answers"]): Readonly<Record<string, Answer>> {
  const entries = Object.entries(answers).flatMap(([form, given]) =>
    given.map((answer, i) => [`${form} [${i}]`, answer] as const),
  );
  return Object.fromEntries(entries);
}

/** @returns what differs, a line each */
export function differences(actual: Golden, expected: Golden, closeness: Closeness): string[] {
  // As it will be read back: what JSON does not keep must not count as a difference.
  const mine: Golden = JSON.parse(encodeGolden(actual));
  const { figures, answers, tensors, without } = sections[closeness];
  const compared = (all: Golden["tensors"]) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !without.some((some) => some.test(name))));
  return [
    ...compare("figure", mine.figures, expected.figures, figures),
    ...compare("answer", oneByOne(mine.answers), oneByOne(expected.answers), answers),
    ...compare("tensor", compared(mine.tensors), compared(expected.tensors), tensors),
  ];
}
