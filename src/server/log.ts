/** A line of JSON for everything that happens; never a text that was asked, a token, or a query. */

export interface LogEntry {
  readonly level: "info" | "warning" | "error";
  readonly message: string;
  readonly [field: string]: string | number | boolean;
}

export function noLog(): void {}

/** Logs to a writer of lines. */
export function jsonLog(write: (line: string) => void): (entry: LogEntry) => void {
  return (entry) => write(`${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`);
}
