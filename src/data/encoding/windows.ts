/** Texts that are longer than a model reads at once, as windows that lie side by side. */
import { DataError } from "../../core/errors.ts";
import type { Example } from "../files/types.ts";
import { encodePrompted, type PromptTemplate, promptedWindows } from "./prompts.ts";
import { type Encoding, excerpt, type Tokenizer, type Window } from "./tokenizer.ts";

function asOne(windows: readonly Window[]): Encoding {
  const { ids, typeIds } = windows[0]!;
  return { ids, typeIds, truncated: false, windows };
}

function cut(tokenizer: Tokenizer, example: Example, maxLength: number): readonly Window[] {
  const special = tokenizer.frame([]).ids.length;
  const room = maxLength - special;
  const { ids } = tokenizer.encode(example, Number.MAX_SAFE_INTEGER);
  const { start } = tokenizer.frame([]);
  const own = ids.slice(start, ids.length - (special - start));
  return Array.from({ length: Math.ceil(own.length / room) }, (_, i) => {
    const part = own.slice(i * room, (i + 1) * room);
    const { ids: framed, typeIds } = tokenizer.frame(part);
    return { ids: framed, typeIds, truncated: false, textTokens: part.length };
  });
}

/**
 * Encodes a text. One that is too long becomes windows, each with special tokens around it, in a prompt each with the prompt's
 * words; every token of the text stands in one of them.
 * @throws DataError for a pair of texts that is too long
 * @throws ConfigError if special tokens, or the prompt, leave no room for the text
 */
export function encodeInWindows(
  tokenizer: Tokenizer,
  template: PromptTemplate | undefined,
  example: Example,
  maxLength: number,
): Encoding {
  if (template !== undefined) {
    const windows = promptedWindows(tokenizer, template, example, maxLength);
    return windows.length > 1 ? asOne(windows) : encodePrompted(tokenizer, template, example, maxLength);
  }
  const whole = tokenizer.encode(example, maxLength);
  if (!whole.truncated) return whole;
  if (example.textPair !== undefined)
    throw new DataError(
      `the pair of texts that begins with ${excerpt(example.text)} is longer than ${maxLength} tokens, and pairs are not cut into windows`,
      { hint: "Raise training.maxLength, or set training.longText: truncate." },
    );
  return asOne(cut(tokenizer, example, maxLength));
}
