import { escapeControls } from "./controls.ts";

/** Where a command writes: data to `out`, chatter and progress to `err`. */
export interface Terminal {
  /** @param styled whether colours in it are ours, and nobody else's text is in it unescaped */
  out(text: string, styled?: boolean): void;
  err(text: string): void;
  /** Takes away what stands on the last line of `err`, where a person sees it. */
  clearErrLine(): void;
  /** Whether `out` and `err` are seen by a person as they are written. */
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  readonly color: boolean;
  readonly width: number;
  readonly errWidth: number;
}

export function processTerminal(): Terminal {
  const outIsTty = process.stdout.isTTY === true;
  return {
    // To a file or another program data goes as it is.
    out: (text, styled = false) => {
      process.stdout.write(outIsTty ? escapeControls(text, { styled }) : text);
    },
    err: (text) => void process.stderr.write(escapeControls(text)),
    clearErrLine: () => void process.stderr.write("\r\u001b[K"),
    outIsTty,
    errIsTty: process.stderr.isTTY === true,
    color: outIsTty && !process.env.NO_COLOR && process.env.TERM !== "dumb",
    width: outIsTty ? process.stdout.columns : 80,
    errWidth: process.stderr.isTTY === true ? process.stderr.columns : 80,
  };
}
