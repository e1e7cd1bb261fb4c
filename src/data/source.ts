import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, DataError } from "../core/errors.ts";
import { CONTINUAL_CONFIG, CONTINUAL_DATA, readContinual } from "./continual.ts";
import { unreadable } from "./files/lines.ts";
import { collect, readExamples, readTexts } from "./files/readers.ts";
import { type RowFormat, rowExtensions } from "./files/rows.ts";
import type { LabelledExample, OutOfScope, PublishedSplits } from "./files/types.ts";
import type { StreamSpec } from "./streamSpec.ts";

export interface TaskPlan {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Everything read from files, before it is divided into tasks. */
export interface Source extends PublishedSplits<LabelledExample> {
  readonly outOfScope?: OutOfScope;
  /** The division that the source itself prescribes, if none is asked for. */
  readonly tasks?: number | readonly TaskPlan[];
  readonly files: readonly string[];
  /** What the reader should know of the files, one sentence each. */
  readonly notes?: readonly string[];
  /** What becomes of train rows whose text is in test. */
  readonly overlap: "drop" | "refuse";
}

type SplitName = "train" | "validation" | "test";

const splitNames: Readonly<Record<SplitName, readonly string[]>> = {
  train: ["train"],
  validation: ["validation", "dev", "val", "valid"],
  test: ["test"],
};

export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function rowFormat(spec: StreamSpec): RowFormat | undefined {
  return spec.format === "continual" ? undefined : spec.format;
}

type SplitFiles = { readonly [S in SplitName]: string | undefined };

/** The one file of a folder that holds each split, where there is one. */
async function locateSplits(folder: string, spec: StreamSpec): Promise<SplitFiles> {
  const names = await readdir(folder);
  const extensions = rowExtensions(rowFormat(spec));
  const find = (split: SplitName): string | undefined => {
    const wanted = splitNames[split].flatMap((stem) =>
      extensions.flatMap((extension) => [stem + extension, `${stem}${extension}.gz`]),
    );
    const found = names.filter((name) => wanted.includes(name));
    if (found.length > 1)
      throw new DataError(`${folder} has several ${split} files: ${found.join(", ")}`, {
        hint: "Keep one, set stream.format, or name the files as stream.train, stream.validation and stream.test.",
      });
    return found[0] === undefined ? undefined : join(folder, found[0]);
  };
  return { train: find("train"), validation: find("validation"), test: find("test") };
}

async function isContinual(folder: string, spec: StreamSpec): Promise<boolean> {
  if (spec.format !== undefined) return spec.format === "continual";
  const names = await readdir(folder);
  return names.includes(CONTINUAL_DATA) || names.includes(CONTINUAL_CONFIG);
}

async function readOutOfScope(
  path: string,
  spec: StreamSpec,
): Promise<{ readonly outOfScope: OutOfScope; readonly files: readonly string[] }> {
  const none = { validation: undefined, test: path };
  const { validation, test } = (await isFolder(path)) ? await locateSplits(path, spec) : none;
  if (test === undefined)
    throw new DataError(`${path} has no test file of out-of-scope texts`, {
      hint: `Put a test.jsonl there, or name a file as stream.outOfScope.`,
    });
  const read = (file: string) => collect(readTexts(file, rowFormat(spec)));
  return {
    outOfScope: {
      validation: validation === undefined ? [] : await read(validation),
      test: await read(test),
    },
    files: validation === undefined ? [test] : [validation, test],
  };
}

function missing(folder: string | undefined, split: SplitName): never {
  if (folder === undefined)
    throw new ConfigError(`stream.${split} is missing`, {
      issues: [{ path: `stream.${split}`, expected: "a .jsonl or .csv file", received: "nothing" }],
    });
  throw new DataError(`${folder} has no ${split} file`, {
    hint: `Expected train and test (and perhaps validation, dev or val), each ${rowExtensions().join(" or ")}; or ${CONTINUAL_DATA} with ${CONTINUAL_CONFIG}.`,
  });
}

async function readRows(path: string, folder: string | undefined, spec: StreamSpec): Promise<Source> {
  const located = folder === undefined ? undefined : await locateSplits(folder, spec);
  const train = (located === undefined ? path : located.train) ?? missing(folder, "train");
  const validation = spec.validation ?? located?.validation;
  const test = spec.test ?? located?.test ?? missing(folder, "test");
  const notes: string[] = [];
  const read = (file: string) => collect(readExamples(file, rowFormat(spec), notes));
  return {
    train: await read(train),
    ...(validation !== undefined && { validation: await read(validation) }),
    test: await read(test),
    files: [train, validation, test].filter((file) => file !== undefined),
    overlap: "refuse",
    notes,
  };
}

/** Reads a user's own stream: named files, a folder of them, or the two-file layout. */
export async function readSource(spec: StreamSpec): Promise<Source> {
  const path = spec.path ?? spec.train ?? missing(undefined, "train");
  const folder = (await isFolder(path)) ? path : undefined;
  if (spec.path !== undefined && folder === undefined)
    throw new DataError(`${spec.path} is a file, a folder was expected`, {
      hint: "Name a single file as stream.train.",
    });
  const extra = spec.outOfScope === undefined ? undefined : await readOutOfScope(spec.outOfScope, spec);
  const source =
    folder !== undefined && (await isContinual(folder, spec))
      ? await readContinual(folder)
      : await readRows(path, folder, spec);
  return { ...source, ...extra, files: [...source.files, ...(extra?.files ?? [])] };
}
