import { escapeLine } from "./controls.ts";
import type { Terminal } from "./terminal.ts";

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
    this.terminal.clearErrLine();
    this.terminal.err(escapeLine(text).slice(0, Math.max(20, this.terminal.errWidth - 1)));
    this.shown = true;
  }

  /** Takes it away, so that what follows starts on a clean one. */
  clear(): void {
    if (this.shown) this.terminal.clearErrLine();
    this.shown = false;
  }

  write(text: string): void {
    this.clear();
    this.terminal.err(`${text}\n`);
  }
}

/** What a person is shown of an event: a line that stays, or what is going on until the next event. */
export interface Shown {
  readonly text: string;
  readonly lasting: boolean;
}

export const lasting = (text: string): Shown => ({ text, lasting: true });
export const passing = (text: string): Shown => ({ text, lasting: false });

export abstract class Progress<E> extends RenewingLine {
  protected abstract describe(event: E): Shown | undefined;

  print(event: E): void {
    const shown = this.describe(event);
    if (shown === undefined) return;
    if (shown.lasting) this.write(shown.text);
    else this.say(shown.text);
  }
}
