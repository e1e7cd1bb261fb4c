import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { examples } from "../../src/cli/examples.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { complaint, listeningTerminal } from "../support/cli.ts";
import {
  anchorsOf,
  commandsOf,
  pages,
  pathsNamed,
  readPage,
  relativeLinks,
  splitShell,
} from "../support/pages.ts";

const scripts = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"))).scripts;
const npmOwn = ["ci", "install", "pack", "test"];
const largestPictureBytes = 300 * 1024;

describe.each(pages.map((page) => ({ name: page.path, page })))("$name", ({ page }) => {
  test("links to files and headings that exist", () => {
    for (const { target, file } of relativeLinks(page)) {
      expect(existsSync(join(packageRoot, file)), `${target} in ${page.path}`).toBe(true);
      const anchor = target.split("#")[1];
      if (anchor !== undefined && file.endsWith(".md"))
        expect(anchorsOf(readPage(file)), `${target} in ${page.path}`).toContain(anchor);
    }
  });

  test("names files that exist", () => {
    const missing = pathsNamed(page).filter((path) => !existsSync(join(packageRoot, path)));
    expect(missing).toEqual([]);
  });

  test("shows commands that parse", async () => {
    for (const [program, ...words] of commandsOf(page)) {
      if (program === "accrete") expect(await complaint(words), `accrete ${words.join(" ")}`).toBeUndefined();
      if (program !== "npm") continue;
      const [verb = "", script = ""] = words;
      if (verb === "run") expect(Object.keys(scripts), `npm ${words.join(" ")}`).toContain(script);
      else expect(npmOwn, `npm ${words.join(" ")}`).toContain(verb);
    }
  });
});

test("every command's help has an example, which parses", async () => {
  const named = (command: Command): string[] =>
    command.commands.flatMap((each) => [each.name(), ...named(each)]).filter((name) => name !== "help");
  const all = named(buildProgram(listeningTerminal(), "0.0.0"));
  expect(Object.keys(examples).sort()).toEqual(all.sort());
  for (const example of Object.values(examples))
    for (const [, ...words] of splitShell(example)) expect(await complaint(words), example).toBeUndefined();
});

describe("the checks themselves", () => {
  const page = { path: "docs/x.md", text: "" };

  test("see a command with a typo, an unknown flag, a missing argument", async () => {
    expect(await complaint(["rnu", "x.yaml"])).toContain("unknown command 'rnu'");
    expect(await complaint(["run", "x.yaml", "--resmue"])).toContain("--resmue");
    expect(await complaint(["run"])).toContain("missing required argument");
    expect(await complaint(["inspect", "graph", "m", "--phase", "trian"])).toContain("trian");
    expect(await complaint(["inspect", "graph", "m", "--phase", "train"])).toBeUndefined();
  });

  test("split shell lines into commands", () => {
    expect(splitShell('echo "two words" | accrete predict run --json > out.txt # why')).toEqual([
      ["echo", "two words"],
      ["accrete", "predict", "run", "--json"],
    ]);
    expect(commandsOf({ ...page, text: "```sh\na \\\n  b\nc && d\n```\n```ts\ne\n```\n" })).toEqual([
      ["a", "b"],
      ["c"],
      ["d"],
    ]);
  });

  test("find links and files", () => {
    const text =
      '[a](y.md#z) [b](https://e.org) <img src="../p.png">\n`tools/no.ts` `../src/b.ts` `src/<task>/x` `docs/`';
    expect(relativeLinks({ ...page, text })).toEqual([
      { target: "y.md#z", file: "docs/y.md" },
      { target: "../p.png", file: "p.png" },
    ]);
    expect(pathsNamed({ ...page, text })).toEqual(["tools/no.ts", "docs"]);
    expect(anchorsOf({ ...page, text: "## What the numbers mean\n# `a` & b\n" })).toEqual([
      "what-the-numbers-mean",
      "a--b",
    ]);
  });
});

test("pictures stay below 300 KiB", () => {
  const folder = join(packageRoot, "docs/images");
  const pictures = existsSync(folder) ? readdirSync(folder) : [];
  for (const name of pictures)
    expect(statSync(join(folder, name)).size, name).toBeLessThan(largestPictureBytes);
});
