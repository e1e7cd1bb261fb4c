/** The configurations of a sweep: every combination of a grid, or random draws. Pure. */
import { createRng, type Rng } from "../core/random.ts";
import type { Range, SweepSpec } from "./sweepFile.ts";

/** Key → value, of one configuration. */
export type Choice = Readonly<Record<string, unknown>>;

/** The last key changes fastest. */
function combinations(grid: Readonly<Record<string, readonly unknown[]>>): Choice[] {
  return Object.entries(grid).reduce<Choice[]>(
    (choices, [key, values]) =>
      choices.flatMap((choice) => values.map((value) => ({ ...choice, [key]: value }))),
    [{}],
  );
}

/** Three significant digits are enough to try, and can be read. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

function draw(values: readonly unknown[] | Range, rng: Rng): unknown {
  const share = rng.uniform();
  if (!("from" in values)) return values[Math.min(values.length - 1, Math.floor(share * values.length))];
  const { from, to, scale, whole } = values;
  if (whole && scale === "linear") return Math.min(to, from + Math.floor(share * (to - from + 1)));
  const value =
    scale === "log" ? Math.exp(Math.log(from) + share * Math.log(to / from)) : from + share * (to - from);
  return whole ? Math.round(value) : rounded(value);
}

/** Each configuration is a function of seed and number alone: more trials leave the first ones as they are. */
function draws({ trials, seed, keys }: NonNullable<SweepSpec["random"]>): Choice[] {
  const rng = createRng(seed);
  return Array.from({ length: trials }, (_, trial) =>
    Object.fromEntries(
      Object.entries(keys).map(([key, values]) => [key, draw(values, rng.fork(key, trial))]),
    ),
  );
}

export function choicesOf({ grid = {}, random }: Pick<SweepSpec, "grid" | "random">): readonly Choice[] {
  return random === undefined ? combinations(grid) : draws(random);
}

function shown(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : JSON.stringify(value);
}

/** `rank 4, epochs 2`: the last part of each key where that tells it apart. */
export function labelOf(choice: Choice): string {
  const keys = Object.keys(choice);
  const short = keys.map((key) => key.split(".").at(-1) ?? key);
  const words = keys.map((key, i) => {
    const own = short.filter((each) => each === short[i]).length > 1 ? key : (short[i] ?? key);
    const text = shown(choice[key]);
    return `${own} ${text.length > 40 ? `${text.slice(0, 39)}…` : text}`;
  });
  return words.join(", ") || "base";
}
