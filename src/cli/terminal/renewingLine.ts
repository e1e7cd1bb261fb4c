import type { Terminal } from "./terminal.ts";

const clearLine = "\r\u001b[K";

/** On a terminal the one line at the bottom that says what is going on; elsewhere nothing. */
export class RenewingLine {
  private readonly terminal: Terminal;
  private shown = false;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  /** Takes the place of what it said before. */
  say(text: string): void {
    if (!this.terminal.errIsTty) return;
    this.terminal.err(`${clearLine}${text.slice(0, Math.max(20, this.terminal.errWidth - 1))}`);
    this.shown = true;
  }

  /** Takes it away, so that what follows starts on a clean one. */
  clear(): void {
    if (this.shown) this.terminal.err(clearLine);
    this.shown = false;
  }
}
