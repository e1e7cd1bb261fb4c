/** Where a command writes: data to `out`, chatter and progress to `err`. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
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
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outIsTty,
    errIsTty: process.stderr.isTTY === true,
    color: outIsTty && !process.env.NO_COLOR && process.env.TERM !== "dumb",
    width: outIsTty ? process.stdout.columns : 80,
    errWidth: process.stderr.isTTY === true ? process.stderr.columns : 80,
  };
}
