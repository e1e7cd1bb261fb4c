/** Tags of words, and the schemes in which files write them. */
import { DataError } from "../../core/errors.ts";

/** A sentence in words with a tag each: `O`, or `B-x` where an entity of type x begins and `I-x` where it goes on. */
export interface TaggedSentence {
  readonly words: readonly string[];
  /** As many as words, in IOB2: an `I-x` follows a `B-x` or an `I-x`. */
  readonly tags: readonly string[];
}

export const OUTSIDE = "O";

const hint =
  "A tag is O, B-type or I-type; E-type and S-type (BIOES) or L-type and U-type (BILOU) mark the end of an entity and an entity of one word.";

/** The entity type of a checked tag; undefined for `O`. */
export function typeOf(tag: string): string | undefined {
  return tag === OUTSIDE ? undefined : tag.slice(2);
}

/** Schemes that mark where an entity ends. Without such a mark a file is in IOB1 or IOB2. */
export type EndingScheme = "BIOES" | "BILOU";

const endMarks: ReadonlyMap<string, EndingScheme> = new Map([
  ["E", "BIOES"],
  ["S", "BIOES"],
  ["L", "BILOU"],
  ["U", "BILOU"],
]);

/** Whether a cell of a file may be a tag, of whatever scheme. */
export function looksLikeTag(cell: string): boolean {
  return cell === OUTSIDE || /^[BIESLU]-./su.test(cell);
}

/** Why a cell is no tag. */
function explain(cell: string): string {
  if (/^[BIESLUMW](?:-|$)$/u.test(cell)) return "it has no entity type";
  if (/^[MW]-/u.test(cell)) return "M- and W- are marks of BMES and BMEWO, which are not read";
  if (/^\(?\S*\*\)?$|^\(\S+\)$/u.test(cell)) return "these are the brackets of CoNLL-2012";
  if (/^\d+$/u.test(cell)) return "it is a number, and its name is not known";
  return "no B- or I- stands before an entity type";
}

interface Parsed {
  readonly mark: string;
  readonly type: string;
}

function parseTag(tag: string, place: string): Parsed {
  const match = /^([BIESLU])-(.+)$/su.exec(tag);
  const [, mark, type] = match ?? [];
  if (mark === undefined || type === undefined)
    throw new DataError(`${place}: ${JSON.stringify(tag)} is not a tag: ${explain(tag)}`, { hint });
  return { mark, type };
}

export interface Iob2Tags {
  readonly tags: readonly string[];
  /** Indices of tags that go on with an entity where none began, and were read as a beginning. */
  readonly changed: readonly number[];
  /** The scheme, where an end is marked. */
  readonly scheme?: EndingScheme;
  /** Indices of last words of entities that no mark ends; of no account where no scheme marks ends. */
  readonly unended: readonly number[];
}

/**
 * Checks one sentence's tags and turns them into IOB2: a tag that goes on with an entity where none began becomes
 * `B-x`. So the older IOB1 of the CoNLL-2003 files, BIOES and BILOU are read right too, and the entities are those that
 * conlleval and seqeval's default mode find in the tags as they stood (L and U read as E and S).
 * @param known the scheme of the file so far
 * @throws DataError for a tag that is none, and where BIOES and BILOU are mixed
 */
export function toIob2(
  given: readonly string[],
  place: (i: number) => string,
  known?: EndingScheme | undefined,
): Iob2Tags {
  const changed: number[] = [];
  const unended: number[] = [];
  let scheme = known;
  let open: string | undefined;
  const close = (i: number) => {
    if (open !== undefined) unended.push(i - 1);
  };
  const tags = given.map((tag, i) => {
    if (tag === OUTSIDE) {
      close(i);
      open = undefined;
      return tag;
    }
    const { mark, type } = parseTag(tag, place(i));
    const own = endMarks.get(mark);
    if (own !== undefined && scheme !== undefined && own !== scheme)
      throw new DataError(
        `${place(i)}: ${JSON.stringify(tag)} is a tag of ${own}, those before are ${scheme}`,
        {
          hint: "One file has one scheme: write it again in one of IOB2, BIOES and BILOU.",
        },
      );
    scheme = own ?? scheme;
    const goesOn = "IEL".includes(mark) && type === open;
    if ("IEL".includes(mark) && !goesOn) changed.push(i);
    if (!goesOn) close(i);
    open = own === undefined ? type : undefined;
    return `${goesOn ? "I" : "B"}-${type}`;
  });
  close(given.length);
  return { tags, changed, unended, ...(scheme && { scheme }) };
}

interface Noted {
  count: number;
  first: string;
}

/** Reads the tags of a whole file: one scheme, and notes on what was read otherwise than it stands. */
export class TagReader {
  private readonly path: string;
  private scheme: EndingScheme | undefined;
  private readonly strays: Noted = { count: 0, first: "" };
  private readonly unended: Noted = { count: 0, first: "" };

  constructor(path: string) {
    this.path = path;
  }

  /** @param place names the place of a tag in the file, without the file: `line 3` */
  read(given: readonly string[], place: (i: number) => string): readonly string[] {
    const { tags, changed, unended, scheme } = toIob2(given, (i) => `${this.path}, ${place(i)}`, this.scheme);
    this.scheme = scheme;
    for (const [noted, found] of [
      [this.strays, changed],
      [this.unended, unended],
    ] as const) {
      if (noted.count === 0 && found[0] !== undefined) noted.first = place(found[0]);
      noted.count += found.length;
    }
    return tags;
  }

  /** What the reader should know, one sentence each. */
  get notes(): readonly string[] {
    const { path, scheme, strays, unended } = this;
    const many = (n: number, what: string) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
    const inside = scheme === undefined ? "I- tag" : scheme === "BIOES" ? "I- or E- tag" : "I- or L- tag";
    return [
      ...(scheme === undefined ? [] : [`${path}: tags are in ${scheme}; read as B- and I-.`]),
      ...(strays.count === 0
        ? []
        : [
            `${path}: ${many(strays.count, inside)} without a beginning before, the first in ${strays.first}; read as B-.`,
          ]),
      ...(scheme === undefined || unended.count === 0
        ? []
        : [
            `${path}: the end of ${unended.count.toLocaleString("en")} ${unended.count === 1 ? "entity" : "entities"} is not marked as ${scheme} has it, the first in ${unended.first}; read as ${unended.count === 1 ? "it stands" : "they stand"}.`,
          ]),
    ];
  }
}
