/** Entities in a text: as pieces to show, and as words with tags to learn from. */

export interface Entity {
  readonly type: string;
  readonly score?: number;
  /** Places in characters (code points), as the server counts. */
  readonly start: number;
  readonly end: number;
}

export interface Word {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Words and marks of a text with their places in characters. */
export function wordsOf(text: string): readonly Word[] {
  const found = text.matchAll(/[\p{L}\p{N}\p{M}]+(?:['’][\p{L}\p{M}]+)?|[^\s]/gu);
  return [...found].map(({ 0: word, index }) => {
    const start = [...text.slice(0, index)].length;
    return { text: word, start, end: start + [...word].length };
  });
}

/** The entity that a word lies in. */
export function entityOf(word: Word, entities: readonly Entity[]): Entity | undefined {
  return entities.find(({ start, end }) => word.start < end && word.end > start);
}

/** A piece of a text: a run of words of one entity, or a word of none, with what stands before it. */
export interface Piece {
  readonly before: string;
  readonly text: string;
  readonly entity?: Entity;
  readonly words: readonly number[];
}

export function piecesOf(
  text: string,
  words: readonly Word[],
  entities: readonly Entity[],
): readonly Piece[] {
  const characters = [...text];
  const cut = (start: number, end: number) => characters.slice(start, end).join("");
  const pieces: {
    before: string;
    start: number;
    end: number;
    entity: Entity | undefined;
    words: number[];
  }[] = [];
  for (const [i, word] of words.entries()) {
    const entity = entityOf(word, entities);
    const last = pieces.at(-1);
    if (last !== undefined && entity !== undefined && last.entity === entity) {
      last.end = word.end;
      last.words.push(i);
      continue;
    }
    pieces.push({
      before: cut(last?.end ?? 0, word.start),
      start: word.start,
      end: word.end,
      entity,
      words: [i],
    });
  }
  return pieces.map(({ before, start, end, entity, words }) => ({
    before,
    text: cut(start, end),
    words,
    ...(entity && { entity }),
  }));
}

/** Marks words as one entity, or with no type as none; what it overlaps goes. */
export function marked(
  words: readonly Word[],
  entities: readonly Entity[],
  from: number,
  to: number,
  type: string | undefined,
): readonly Entity[] {
  const [first, last] = [words[Math.min(from, to)], words[Math.max(from, to)]];
  if (first === undefined || last === undefined) return entities;
  const others = entities.filter(({ start, end }) => end <= first.start || start >= last.end);
  if (type === undefined) return others;
  return [...others, { type, start: first.start, end: last.end }].sort((a, b) => a.start - b.start);
}

/** Words with their tags (IOB2), as the server learns them. */
export function taggedOf(
  words: readonly Word[],
  entities: readonly Entity[],
): { readonly words: readonly string[]; readonly tags: readonly string[] } {
  let before: Entity | undefined;
  const tags = words.map((word) => {
    const entity = entityOf(word, entities);
    const tag = entity === undefined ? "O" : `${entity === before ? "I" : "B"}-${entity.type}`;
    before = entity;
    return tag;
  });
  return { words: words.map(({ text }) => text), tags };
}
