/** An artefact store in which something else happens before, or right after, a step of whoever uses it. */
import type { ArtefactStore } from "../../src/artefacts/store.ts";

export interface Step {
  readonly call: "put" | "fetch" | "write" | "read" | "list" | "remove" | "readName" | "setName" | "names";
  /** The key, hash or name that is meant. */
  readonly what: string;
  /** Counts from 1. */
  readonly number: number;
}

export interface Steps {
  readonly before?: (step: Step) => Promise<void>;
  readonly after?: (step: Step) => Promise<void>;
}

/** What is thrown in `before` stands for a step that was not made, in `after` for one whose answer never came. */
export function stepwise(artefacts: ArtefactStore, { before, after }: Steps): ArtefactStore {
  let count = 0;
  const step = async <T>(call: Step["call"], what: string, make: () => Promise<T>): Promise<T> => {
    const own = { call, what, number: ++count };
    await before?.(own);
    const result = await make();
    await after?.(own);
    return result;
  };
  return {
    place: artefacts.place,
    has: (hash) => artefacts.has(hash),
    put: (hash, content) => step("put", hash, () => artefacts.put(hash, content)),
    putFile: (hash, path, size) => step("put", hash, () => artefacts.putFile(hash, path, size)),
    fetch: (hash, path) => step("fetch", hash, () => artefacts.fetch(hash, path)),
    write: (key, content) => step("write", key, () => artefacts.write(key, content)),
    read: (key, path) => step("read", key, () => artefacts.read(key, path)),
    list: (folder) => step("list", folder, () => artefacts.list(folder)),
    remove: (key) => step("remove", key, () => artefacts.remove(key)),
    readName: (name, known) => step("readName", name, () => artefacts.readName(name, known)),
    setName: (name, value, known) => step("setName", name, () => artefacts.setName(name, value, known)),
    names: (prefix) => step("names", prefix, () => artefacts.names(prefix)),
  };
}
