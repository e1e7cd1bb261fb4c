/** Regular expressions from adapter files: whatever they are, matching them ends. */
import { RE2JS } from "re2js";
import { ConfigError } from "../core/errors.ts";
import { runBefore } from "../portable/deadline.ts";

/** Longer ones come from no model. */
const longest = 10_000;
/** What automata cannot match: looking ahead or behind, and references to groups. */
const backtracking = /\(\?<?[=!]|\\[1-9]|\(\?P=|\\k</;
/** For one match of a pattern that needs backtracking. */
const deadlineMs = 500;

type Matcher = (path: string) => boolean;

function refuse(pattern: string, what: string, reason: string, cause?: unknown): ConfigError {
  const shown = pattern.length > 200 ? `${pattern.slice(0, 200)}…` : pattern;
  return new ConfigError(`${what}: ${JSON.stringify(shown)} ${reason}`, { cause });
}

/** In linear time. */
function automaton(text: string, pattern: string, what: string): Matcher {
  try {
    const compiled = RE2JS.compile(text);
    return (path) => compiled.matches(path);
  } catch (cause) {
    throw refuse(pattern, what, "is no regular expression", cause);
  }
}

/** By JavaScript's engine, which may take exponential time: it is stopped. */
function stopped(text: string, pattern: string, what: string): Matcher {
  let compiled: RegExp;
  try {
    compiled = new RegExp(text);
  } catch (cause) {
    throw refuse(pattern, what, "is no regular expression", cause);
  }
  return (path) => {
    const matched = runBefore(deadlineMs, () => compiled.test(path));
    if (matched === undefined)
      throw refuse(pattern, what, `takes more than ${deadlineMs} ms to match ${path}`);
    return matched.value;
  };
}

const known = new Map<string, Matcher>();
const mostKnown = 1000;

/**
 * A test of whole paths.
 * @param pattern in the dialect that JavaScript and Python share
 * @param before stands before it
 * @param what names the setting in errors
 * @throws ConfigError if it is no regular expression, too long, or matching it takes too long
 */
export function compileFullMatch(pattern: string, before = "", what = "target modules"): Matcher {
  if (pattern.length > longest) throw refuse(pattern, what, `has more than ${longest} characters`);
  const key = `${what}\n${before}\n${pattern}`;
  const made = known.get(key);
  if (made !== undefined) return made;
  const body = `${before}(?:${pattern.replaceAll("(?P<", "(?<")})`;
  const matcher = backtracking.test(pattern)
    ? stopped(`^${body}$`, pattern, what)
    : automaton(body, pattern, what);
  if (known.size >= mostKnown) known.clear();
  known.set(key, matcher);
  return matcher;
}
