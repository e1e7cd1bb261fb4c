/** Parts of paths, of any system: what both Node and a browser run has no `node:path`. */
const separator = /[\\/]/;

/** What stands behind the last separator. */
export function baseName(path: string): string {
  return path.split(separator).at(-1) ?? path;
}

/** What stands in front of the last separator. */
export function folderName(path: string): string {
  return path.slice(0, Math.max(0, path.length - baseName(path).length - 1));
}
