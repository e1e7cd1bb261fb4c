/** The operating system's code of a failed call (`ENOENT`, `ENOSPC` …), if the error carries one. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
