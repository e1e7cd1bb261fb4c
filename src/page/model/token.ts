/** The token that the page asks with: from the address, or typed, and kept as long as the tab is open. */

const KEY = "accrete-token";

/** Where things are kept; a browser's session storage. */
interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The token in the fragment of an address, and the fragment without it. */
export function tokenIn(fragment: string): { readonly token: string | undefined; readonly rest: string } {
  const [, token] = /^#(?:\/[^?#]*\?)?token=([^&]+)/.exec(fragment) ?? [];
  if (token === undefined) return { token: undefined, rest: fragment };
  const rest = fragment.startsWith("#/") ? fragment.replace(/\?.*$/, "") : "";
  return { token: decodeURIComponent(token), rest };
}

export function keptToken(storage: Storage): string | undefined {
  return storage.getItem(KEY) ?? undefined;
}

export function keepToken(storage: Storage, token: string | undefined): void {
  if (token === undefined) storage.removeItem(KEY);
  else storage.setItem(KEY, token);
}
