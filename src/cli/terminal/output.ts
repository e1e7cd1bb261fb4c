/** What becomes of a command whose output is closed or full, and of the notes of the library. */
import { writeSync } from "node:fs";
import { errorCode, messageOf } from "../../core/errors.ts";
import { noteName } from "../../core/notes.ts";
import { escapeControls } from "./controls.ts";

/** Said on a standard error that may be closed as well. */
function say(line: string): void {
  try {
    writeSync(2, `${escapeControls(line)}\n`);
  } catch {
    // There is nobody to tell.
  }
}

const reasons: Readonly<Record<string, string>> = {
  EPIPE: "whoever read it closed it",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
};

/**
 * A closed or full standard output ends the command with exit 1 and one line: the answer was not delivered. Standard error
 * holds progress and notes, whose loss ends nothing.
 */
export function surviveOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    const reason = reasons[errorCode(error) ?? ""] ?? messageOf(error);
    say(`accrete: the output could not be written: ${reason}`);
    process.exit(1);
  });
  process.stderr.on("error", () => {});
  // In place of Node's own way of printing them.
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => {
    say(name === noteName ? `note: ${message}` : `${name}: ${message}`);
  });
}
