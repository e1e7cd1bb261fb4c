/** How numbers, times and errors are said. */

export const percent = (fraction: number): string => {
  const value = 100 * fraction;
  if (value > 99 && value < 100) return `${(Math.floor(10 * value) / 10).toFixed(1)} %`;
  return `${value > 0 && value < 1 ? "under 1" : Math.round(value)} %`;
};

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

export function bytes(n: number): string {
  if (n < 1000) return count(n, "byte");
  const [unit, size] = n < 1e6 ? ["kB", 1e3] : n < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(n / Number(size)).toFixed(n < 10 * Number(size) ? 1 : 0)} ${unit}`;
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function ago(iso: string | undefined, now = Date.now()): string {
  if (iso === undefined) return "";
  const seconds = (now - Date.parse(iso)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 86_400) return `${duration(seconds)} ago`;
  return new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

/** Refusals whose message speaks to programs. */
const words: Readonly<Record<string, string>> = {
  UNAUTHORIZED: "The token is not accepted. Enter it again.",
  FORBIDDEN: "This token may only look. Enter the one for changing.",
  READ_ONLY: "This server only answers. Nothing can be changed here.",
  CHANGED_MEANWHILE: "Somebody else has changed this meanwhile. Look at History first.",
  RATE_LIMITED: "Too many requests at once. Try again in a moment.",
  OVERLOADED: "The server has too much to do. Try again in a moment.",
  STORE_BUSY: "Another program is changing this store. Try again in a moment.",
  STOPPING: "The server is stopping. Nothing was changed.",
  NOT_READY: "The server is still starting. Try again in a moment.",
  TIMEOUT: "That took too long. Try again, with less at once.",
  TOO_LARGE: "That is too much at once. Try a smaller part.",
};

export function sayError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (code !== undefined) return words[code] ?? sentence(error.message);
  if (error instanceof TypeError) return "The server cannot be reached. Check that it is running.";
  return sentence(error.message);
}

function sentence(message: string): string {
  const begun = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

export const isAbort = (error: unknown): boolean => error instanceof Error && error.name === "AbortError";
