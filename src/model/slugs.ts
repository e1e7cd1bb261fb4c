/** Folder names for tasks. */
const maxSlug = 64;

/**
 * A folder name for a task: `[a-z0-9._-]`, at most 64 characters, unlike every one in `taken`.
 * A second task of the same slug gets `.2`; `-2` would read as the first one's second version.
 */
export function slugFor(name: string, taken: ReadonlySet<string>): string {
  const plain = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[.-]+|[.-]+$/g, "");
  const base = plain === "" ? "task" : plain;
  for (let n = 1; ; n++) {
    const suffix = n === 1 ? "" : `.${n}`;
    const candidate = `${base.slice(0, maxSlug - suffix.length).replace(/[.-]+$/, "")}${suffix}`;
    if (!taken.has(candidate)) return candidate;
  }
}
