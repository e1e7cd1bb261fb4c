/** What can be wrong with CoNLL files, from the command line: told with its place, before anything is written. */
import { existsSync } from "node:fs";
import { appendFile, cp } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { loadTasks } from "../../src/experiment/stream.ts";
import { accrete } from "../support/cli.ts";
import { folderOfTestFile, temporaryFolder } from "../support/folders.ts";
import { writeTinyWords } from "../support/tinyStreams.ts";

const template = folderOfTestFile("bad-words");

beforeAll(async () => {
  await writeTinyWords(template);
});

/** A copy of the experiment with a sentence more in one of its files. */
async function experimentWith(file: string, sentence: string): Promise<string> {
  const folder = await temporaryFolder();
  await cp(template, folder, { recursive: true });
  await appendFile(join(folder, file), `\n${sentence}`);
  return folder;
}

test.each([
  [
    "a line with a missing tag",
    "train.conll",
    "text\tO\nlost\n",
    /train\.conll, line \d+: the word "lost" has no tag/,
  ],
  ["a type unseen in train", "test.conll", "text\tO\nx\tB-ainmal\n", /ainmal[\s\S]*animal/],
])("%s: exit 2, and no run folder", async (_, file, sentence, message) => {
  const folder = await experimentWith(file, sentence);
  const { exitCode, err } = await accrete("run", join(folder, "words.yaml"));
  expect(err).toMatch(message);
  expect(exitCode).toBe(2);
  expect(existsSync(join(folder, "run"))).toBe(false);
});

test("an I- that nothing begins is read as a beginning, and the run says where", async () => {
  const folder = await experimentWith("train.conll", "text\tO\ng\tI-animal\n");
  const { config } = await loadConfig(join(folder, "words.yaml"));
  const { notes } = await loadTasks(config);
  expect(notes.join("\n")).toMatch(/train\.conll[\s\S]*line \d+/);
});
