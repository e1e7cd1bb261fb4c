/** What a text may do to a terminal: nothing. Labels, texts and names are somebody's, and may hold control sequences. */

/** Controls, and marks that turn the order of letters round. */
const controls = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** The colours that our own tables are painted with. */
const painted = new RegExp(`${String.fromCharCode(0x1b)}\\[[0-9;]*m`, "g");

/** As JSON has it, so that a line of JSON means the same. */
function codeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function codeUnlessLayout(character: string): string {
  return character === "\n" || character === "\t" ? character : codeOf(character);
}

export interface EscapeOptions {
  /** Lets colours through: of texts whose foreign parts were escaped before. */
  readonly styled?: boolean;
}

/** Control characters as `\u001b`; line ends and tabs stay. */
export function escapeControls(text: string, { styled = false }: EscapeOptions = {}): string {
  if (!styled) return text.replace(controls, codeUnlessLayout);
  const pieces = text.split(painted);
  const colours = text.match(painted) ?? [];
  return pieces.map((piece, i) => piece.replace(controls, codeUnlessLayout) + (colours[i] ?? "")).join("");
}

/** As {@link escapeControls}, for what must stay on one line. */
export function escapeLine(text: string): string {
  return text.replace(controls, codeOf);
}
