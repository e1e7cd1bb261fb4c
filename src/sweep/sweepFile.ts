/** `sweep.yaml`: a base configuration and what of it changes from trial to trial. */
import { basename, dirname, extname, resolve } from "node:path";
import { z } from "zod";
import { isRecord, toConfigIssues } from "../config/issues.ts";
import { readYaml } from "../config/load.ts";
import { resolvePath } from "../config/paths.ts";
import { ConfigError, type ConfigIssue } from "../core/errors.ts";

const name = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,63}$/)
  .describe("letters, digits, `.`, `_` and `-`, at most 64");
const values = z.array(z.unknown()).min(1);
const range = z.strictObject({
  from: z.number(),
  to: z.number(),
  /** How values between the two are drawn: evenly, or evenly in their logarithm. */
  scale: z.enum(["linear", "log"]).default("linear"),
  /** Whole numbers only. */
  whole: z.boolean().default(false),
});

const halving = z.strictObject({
  /** Numbers of tasks after which configurations are compared. */
  after: z.array(z.int().min(1)).min(1),
  /** The share of them that goes on; at least one does. */
  keep: z.number().gt(0).lt(1).default(0.5),
});

const schema = z
  .strictObject({
    /** Default: the file's name. */
    name: name.optional(),
    /** The configuration that every trial begins with. */
    base: z.string().min(1),
    /** Key → values; every combination is a configuration. */
    grid: z.record(z.string(), values).optional(),
    /** Configurations drawn at random in place of a grid. */
    random: z
      .strictObject({
        trials: z.int().min(1).max(100_000),
        seed: z.int().min(0).default(1),
        keys: z.record(z.string(), z.union([values, range]).describe("a list, or { from, to }")),
      })
      .optional(),
    /** Each configuration runs with each of them; default: the base's. */
    seeds: z.array(z.int().min(0)).min(1).optional(),
    halving: halving.optional(),
    /** The sweep's folder; default: `sweeps/<name>` beside the file. */
    out: z.string().min(1).optional(),
  })
  .refine(({ grid, random }) => grid === undefined || random === undefined, {
    error: "grid and random exclude each other",
    path: ["random"],
  });

type Parsed = z.output<typeof schema>;
export type Range = z.output<typeof range>;

/** A sweep as its file says, paths absolute. */
export interface SweepSpec extends Omit<Parsed, "name" | "out"> {
  readonly name: string;
  readonly out: string;
  /** The file, as messages name it, and its folder. */
  readonly file: string;
  readonly folder: string;
}

/** Keys that a sweep gives to each trial itself. */
const own: Readonly<Record<string, string>> = {
  seed: "give seeds, a list, beside grid",
  out: "give out, the sweep's folder, beside grid",
};

function refuseOwnKeys({ grid, random }: Parsed): ConfigIssue[] {
  const section = grid === undefined ? "random.keys" : "grid";
  return Object.keys(grid ?? random?.keys ?? {}).flatMap((key) => {
    const instead = own[key];
    if (instead !== undefined)
      return [{ path: `${section}.${key}`, expected: instead, received: key, rule: true as const }];
    if (key !== "" && !key.split(".").includes("")) return [];
    return [{ path: section, expected: "keys such as training.epochs", received: JSON.stringify(key) }];
  });
}

function refuseRanges({ random }: Parsed): ConfigIssue[] {
  return Object.entries(random?.keys ?? {}).flatMap(([key, values]) => {
    if (!("from" in values)) return [];
    const { from, to, scale } = values;
    const path = `random.keys.${key}`;
    if (from >= to) return [{ path, expected: "from below to", received: `from ${from}, to ${to}` }];
    if (scale === "linear" || from > 0) return [];
    return [{ path, expected: "from above 0 with scale: log", received: `from ${from}` }];
  });
}

function refuseTwice({ seeds = [], halving: asked }: Parsed): ConfigIssue[] {
  const rising = asked?.after.every((tasks, i, all) => i === 0 || tasks > (all[i - 1] ?? 0)) ?? true;
  return [
    ...(new Set(seeds).size === seeds.length
      ? []
      : [{ path: "seeds", expected: "each seed once", received: seeds.join(", ") }]),
    ...(rising
      ? []
      : [
          {
            path: "halving.after",
            expected: "rising numbers of tasks",
            received: asked?.after.join(", ") ?? "",
          },
        ]),
  ];
}

/** @throws ConfigError with every problem at once */
export function parseSweep(raw: unknown, file: string): SweepSpec {
  const parsed = schema.safeParse(raw);
  const issues = parsed.success
    ? [refuseOwnKeys, refuseRanges, refuseTwice].flatMap((refuse) => refuse(parsed.data))
    : toConfigIssues(schema, raw, parsed.error);
  if (!parsed.success || issues.length > 0)
    throw new ConfigError(`${file}: this is no sweep`, {
      issues,
      hint:
        isRecord(raw) && "backbone" in raw
          ? "It looks like a configuration: accrete run takes those."
          : "docs/sweep.md describes the file.",
    });
  const { name: given, out, base, ...rest } = parsed.data;
  const path = resolve(file);
  const folder = dirname(path);
  const called = given ?? basename(path, extname(path));
  const checked = name.safeParse(called);
  if (!checked.success)
    throw new ConfigError(`${file}: ${JSON.stringify(called)} cannot be a sweep's name`, {
      hint: "Give it one: name: ranks. Letters, digits, `.`, `_` and `-`, at most 64.",
    });
  return {
    ...rest,
    name: called,
    base: resolvePath(base, folder),
    out: resolvePath(out ?? `sweeps/${called}`, folder),
    file,
    folder,
  };
}

/** @throws ConfigError if the file cannot be read, or is no sweep */
export async function readSweep(file: string): Promise<SweepSpec> {
  return parseSweep(await readYaml(resolve(file)), file);
}
