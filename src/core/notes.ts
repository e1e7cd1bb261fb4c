/** What a user should know and need not act on, said once a process: `process.on("warning")` hears it. */

const said = new Set<string>();

/** The `name` of the warnings that {@link noteOnce} emits. */
export const noteName = "AccreteNote";

/** Says it unless `key` was said before. */
export function noteOnce(key: string, message: string): void {
  if (said.has(key)) return;
  said.add(key);
  process.emitWarning(message, noteName);
}
