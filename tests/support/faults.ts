/** File systems that fail, tear or die at the n-th change. */
import filePromises, { writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { StoreError } from "../../src/core/errors.ts";
import { type FileSystem, nodeFileSystem } from "../../src/io/atomic.ts";

/** An error as Node's file calls throw it. */
export class SystemError extends StoreError {
  override readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/**
 * `fails`: the n-th change is refused; `fails on`: it and all after it; `tears`: of a file's content half is written, then
 * it is refused; `dies`: the process is gone before the change, or with `dies after` just behind it. What is dead changes
 * nothing more.
 */
export const faultKinds = ["fails", "fails on", "tears", "dies", "dies after"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Faulty {
  readonly fs: FileSystem;
  /** Changes that were asked for. */
  readonly changes: () => number;
  /** Which of them, counted from 1, write a content that can be torn. */
  readonly writes: () => readonly number[];
  /** Appends to a file, or part of it, or not. */
  readonly append: (write: (content: string) => Promise<void>, content: string) => Promise<void>;
}

/** @param at counts from 1; 0: no fault */
export function faultyFileSystem(kind: FaultKind, at: number, code = "EIO"): Faulty {
  let changes = 0;
  const writes: number[] = [];
  const refuse = () => new SystemError(kind.startsWith("dies") ? "DEAD" : code);
  const guard =
    <A extends readonly unknown[]>(
      call: (...args: A) => Promise<void>,
      tear?: (...args: A) => Promise<void>,
    ) =>
    async (...args: A): Promise<void> => {
      changes += 1;
      if (tear !== undefined) writes.push(changes);
      if (at === 0 || changes < at) return await call(...args);
      if (changes > at && (kind === "fails" || kind === "tears")) return await call(...args);
      if (changes === at && kind === "dies after") await call(...args);
      if (changes === at && kind === "tears") await tear?.(...args);
      throw refuse();
    };
  const fs: FileSystem = {
    writeNew: guard(nodeFileSystem.writeNew, (path, content) =>
      writeFile(path, content.slice(0, content.length >> 1)),
    ),
    writePieces: guard(nodeFileSystem.writePieces),
    makeFolder: guard(nodeFileSystem.makeFolder),
    rename: guard(nodeFileSystem.rename),
    link: guard(nodeFileSystem.link),
    remove: guard(nodeFileSystem.remove),
    flushFolder: guard(nodeFileSystem.flushFolder),
  };
  const append = guard(
    (write: (content: string) => Promise<void>, content: string) => write(content),
    (write, content) => write(content.slice(0, content.length >> 1)),
  );
  return { fs, changes: () => changes, writes: () => writes, append };
}

/**
 * Runs something with the file system of `src/io` that it takes by itself, appending to records included, replaced by a
 * faulty one.
 * @param onAppend hears which change it was, where a whole record of answers was appended
 * @returns changes that were asked for
 */
export async function withFaults(
  kind: FaultKind,
  at: number,
  code: string,
  work: () => Promise<void>,
  onAppend: (change: number) => void = () => {},
): Promise<number> {
  const whole = { ...nodeFileSystem };
  const { open, appendFile } = filePromises;
  const faulty = faultyFileSystem(kind, at, code);
  Object.assign(nodeFileSystem, faulty.fs);
  // A run's events are appended through a handle that stays open.
  filePromises.open = async (...args) => {
    const handle = await open(...args);
    const appendTo = handle.appendFile.bind(handle);
    handle.appendFile = (data, options) =>
      faulty.append((content) => appendTo(content, options), data.toString());
    return handle;
  };
  filePromises.appendFile = async (path, data, options) => {
    await faulty.append((content) => appendFile(path, content, options), data.toString());
    onAppend(faulty.changes());
  };
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    Object.assign(nodeFileSystem, whole);
    Object.assign(filePromises, { open, appendFile });
    syncBuiltinESMExports();
  }
  return faulty.changes();
}
