import { describe, expect, test } from "vitest";
import { escapeControls, escapeLine } from "../../src/cli/terminal/controls.ts";
import { formatTable } from "../../src/cli/terminal/format.ts";
import { RenewingLine } from "../../src/cli/terminal/renewingLine.ts";
import { listeningTerminal } from "../support/cli.ts";

const hostile = "a\u001b[2J\u0007\u009b31m\u202eb";
const harmless = "a\\u001b[2J\\u0007\\u009b31m\\u202eb";

describe("control characters", () => {
  test("are shown as JSON writes them; line ends and tabs stay", () => {
    expect(escapeControls(hostile)).toBe(harmless);
    expect(escapeControls("a\tb\nc é 日 👍")).toBe("a\tb\nc é 日 👍");
    expect(JSON.parse(escapeControls(JSON.stringify({ label: hostile })))).toEqual({ label: hostile });
    expect(escapeLine("two\nlines")).toBe("two\\u000alines");
  });

  test("of our own colours pass where the text is styled, and nothing else does", () => {
    expect(escapeControls("\u001b[1mbold\u001b[0m\u001b[2J", { styled: true })).toBe(
      "\u001b[1mbold\u001b[0m\\u001b[2J",
    );
  });

  test("in a table or on the renewing line break neither", () => {
    expect(
      formatTable([
        [hostile, "1"],
        ["two\nlines", "2"],
      ]).split("\n"),
    ).toHaveLength(3);
    const terminal = listeningTerminal(true);
    new RenewingLine(terminal).say(hostile);
    expect(terminal.heard().err).toBe(`\r\u001b[K${harmless}`);
  });
});
