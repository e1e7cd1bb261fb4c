import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { slugFor } from "../../src/model/taskFiles.ts";

describe("slugFor", () => {
  test.each([
    ["task-0", "task-0"],
    ["Credit Cards", "credit-cards"],
    ["Čeština / Übung", "cestina-ubung"],
    ["..", "task"],
    [".hidden", "hidden"],
    ["日本語", "task"],
    ["a".repeat(80), "a".repeat(64)],
  ])("%s → %s", (name, slug) => {
    expect(slugFor(name, new Set())).toBe(slug);
  });

  test("a second task of the same slug gets another, which is no later version's name", () => {
    expect(slugFor("A b", new Set(["a-b"]))).toBe("a-b.2");
    expect(slugFor("a".repeat(80), new Set(["a".repeat(64)]))).toBe(`${"a".repeat(62)}.2`);
  });

  test("is always a safe name, and always a new one", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 90 }), { maxLength: 20 }), (names) => {
        const taken = new Set<string>();
        for (const name of names) {
          const slug = slugFor(name, taken);
          expect(slug).toMatch(/^[a-z0-9_][a-z0-9._-]{0,63}$/);
          expect(taken.has(slug)).toBe(false);
          taken.add(slug);
        }
      }),
    );
  });
});
