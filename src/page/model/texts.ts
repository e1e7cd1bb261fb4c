/** Texts as people paste and drop them. */

export interface Example {
  readonly text: string;
  readonly label: string;
}

export interface Sentence {
  readonly words: readonly string[];
  readonly tags: readonly string[];
}

/** One text a line; empty lines and repeated ones are left out. */
export function linesOf(pasted: string): readonly string[] {
  const lines = pasted.split(/\r?\n/).map((line) => line.trim());
  return [...new Set(lines.filter((line) => line !== ""))];
}

/** What a file holds: texts of one class, or texts with their labels, or tagged sentences. */
export interface Dropped {
  readonly texts: readonly string[];
  readonly examples: readonly Example[];
  readonly sentences: readonly Sentence[];
  /** Lines that could not be read. */
  readonly unread: number;
}

const nothing: Dropped = { texts: [], examples: [], sentences: [], unread: 0 };

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((each) => typeof each === "string");

function readJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function readJsonLines(content: string): Dropped {
  const [examples, sentences, texts]: [Example[], Sentence[], string[]] = [[], [], []];
  let unread = 0;
  for (const line of linesOf(content)) {
    const row = readJson(line);
    const { text, label, words, tokens, tags, ner_tags } = isObject(row) ? row : {};
    const [said, marks] = [words ?? tokens, tags ?? ner_tags];
    if (isStrings(said) && isStrings(marks) && said.length === marks.length)
      sentences.push({ words: said, tags: marks });
    else if (typeof text === "string" && typeof label === "string") examples.push({ text, label });
    else if (typeof text === "string") texts.push(text);
    else unread += 1;
  }
  return { texts, examples, sentences, unread };
}

/** The cells of a row of CSV; a quoted one may hold commas, and quotes doubled. */
export function cellsOf(row: string): readonly string[] {
  const cells = row.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g);
  return [...cells].map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare?.trim() ?? "");
}

function readCsv(content: string): Dropped {
  const rows = content.split(/\r?\n/).filter((row) => row.trim() !== "");
  const head = cellsOf(rows[0] ?? "").map((cell) => cell.toLowerCase());
  const [text, label] = [
    head.indexOf("text"),
    head.findIndex((cell) => cell === "label" || cell === "class"),
  ];
  const body = text < 0 ? rows : rows.slice(1);
  const read = body.map((row) => {
    const cells = cellsOf(row);
    return { text: cells[Math.max(0, text)] ?? "", label: text < 0 ? cells[1] : cells[label] };
  });
  const examples = read.flatMap(({ text, label }) =>
    label === undefined || label === "" ? [] : { text, label },
  );
  const texts = read.flatMap(({ text, label }) => (label === undefined || label === "" ? text : []));
  return { ...nothing, examples, texts };
}

/** @param name of the file: its ending says what it holds */
export function readFileText(name: string, content: string): Dropped {
  if (/\.jsonl?$/i.test(name)) return readJsonLines(content);
  if (/\.csv$/i.test(name)) return readCsv(content);
  return { ...nothing, texts: linesOf(content) };
}

/** Examples by class, in the order in which classes came; each text once. */
export function byClass(examples: readonly Example[]): ReadonlyMap<string, readonly string[]> {
  const classes = new Map<string, string[]>();
  for (const { text, label } of examples) {
    const own = classes.get(label) ?? [];
    if (!own.includes(text)) own.push(text);
    classes.set(label, own);
  }
  return classes;
}
