/** Tables of kinds that programs outside the package may add to. */
import { z } from "zod";
import { ConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/** What is built in is known to the compiler; what is registered is known by name. */
export type OneOf<K extends string> = K | (string & Record<never, never>);

/** A table that begins with an entry for every kind of a union. */
export class Registry<K extends string, T> {
  private readonly what: string;
  private readonly entries: Map<string, T>;
  private readonly taken: readonly string[];

  /**
   * @param what names a kind in messages, e.g. `router`
   * @param reserved names that mean something else where the kind is named
   */
  constructor(what: string, builtIn: { readonly [N in K]: T }, reserved: readonly string[] = []) {
    this.what = what;
    this.entries = new Map(Object.entries<T>(builtIn));
    this.taken = [...this.entries.keys(), ...reserved];
  }

  /**
   * Adds a kind, or replaces one that was registered before.
   * @throws ConfigError if the name is taken, or more than letters, digits, `.`, `_` and `-`
   */
  register(name: string, entry: T): void {
    if (typeof name !== "string" || !/^[\w.-]+$/.test(name) || this.taken.includes(name))
      throw new ConfigError(`${this.what}: ${JSON.stringify(name)} cannot be registered`, {
        code: "ARGUMENT",
        hint: `Take a name of its own; taken are ${this.taken.join(", ") || "none"}.`,
      });
    this.entries.set(name, entry);
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** @throws ConfigError naming the nearest kind */
  get(name: string): T {
    const found = this.entries.get(name);
    if (found !== undefined) return found;
    const near = nearest(name, this.names());
    throw new ConfigError(
      `${this.what}: nothing is called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
      { hint: `Known: ${this.names().join(", ") || "none"}. More come with extensions.` },
    );
  }

  names(): readonly string[] {
    return [...this.entries.keys()];
  }
}

/**
 * A name among those that are built in and those that are registered when a value is checked.
 * @param builtIn what reference pages list
 */
export function nameSchema<K extends string>(
  builtIn: readonly K[],
  registered: () => readonly string[],
): z.ZodType<string, OneOf<K>> {
  return z
    .string()
    .check(({ value, issues }) => {
      const known = [...new Set([...builtIn, ...registered()])];
      if (!known.includes(value)) issues.push({ code: "invalid_value", values: known, input: value });
    })
    .meta({ enum: [...builtIn] });
}
