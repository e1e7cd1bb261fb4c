import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ownCommand } from "../../src/cli/terminal/shell.ts";
import { folderWith } from "../support/folders.ts";

describe("how the command line is called", () => {
  const folder = folderWith({ "dist/cli/main.js": "", "elsewhere/main.js": "" });
  const script = join(folder, "dist/cli/main.js");
  const linkedIn = (place: string) => {
    mkdirSync(join(folder, place), { recursive: true });
    symlinkSync(script, join(folder, place, "accrete"));
    return join(folder, place, "accrete");
  };
  const global = linkedIn("usr/bin");
  const local = linkedIn("project/node_modules/.bin");
  const project = join(folder, "project");

  it("by its name where the shell finds it", () => {
    expect(ownCommand(global, join(folder, "usr/bin"), project)).toBe("accrete");
  });

  it("through npx where a project has it, also under npm's own path", () => {
    expect(ownCommand(local, "/usr/bin", project)).toBe("npx accrete");
    expect(ownCommand(local, `${join(project, "node_modules/.bin")}:/usr/bin`, project)).toBe("npx accrete");
  });

  it("by its script in a clone", () => {
    expect(ownCommand(script, "/usr/bin", folder)).toBe(`node ${script}`);
  });
});
