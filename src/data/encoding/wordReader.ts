import type { OfficialTokenizer } from "./officialTokenizer.ts";
import type { TokenizerParts } from "./tokenizerFiles.ts";

/** Words that most vocabularies hold, with a break before them and without. */
const probes = ["a", "the", "in", "A", "1", "de"];

const same = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((id, i) => id === b[i]);

/** Whether a word alone lacks the break that it has in running text, and a space before it brings it back. */
function lacksBreak(library: OfficialTokenizer): boolean {
  return probes.some((probe) => {
    const spaced = library.encode(` ${probe}`);
    const running = library.encode(`${probe} ${probe}`).slice(-spaced.length);
    return !same(library.encode(probe), spaced) && same(running, spaced);
  });
}

/**
 * How a word is read that comes alone, from a text that is split into words. A byte-level tokenizer is read as with
 * `add_prefix_space=True`. Elsewhere transformers would run some words together: where a tokenizer marks breaks with
 * the space itself, a space is put before the word.
 */
export function wordReader(parts: TokenizerParts): (word: string) => readonly number[] {
  const { file, library } = parts;
  const split = file.pre_tokenizer;
  if (split?.type === "ByteLevel") {
    if (split.add_prefix_space === true) return (word) => library.encode(word);
    let prefixed: OfficialTokenizer | undefined;
    return (word) => {
      prefixed ??= parts.loadLibrary({ ...file, pre_tokenizer: { ...split, add_prefix_space: true } });
      return prefixed.encode(word);
    };
  }
  let spaced: boolean | undefined;
  return (word) => {
    spaced ??= lacksBreak(library);
    return library.encode(spaced && !word.startsWith(" ") ? ` ${word}` : word);
  };
}
