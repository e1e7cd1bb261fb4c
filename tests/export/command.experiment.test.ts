/** `accrete export` on the command line. */
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { accrete, succeed } from "../support/cli.ts";
import { bytesBelow } from "../support/folders.ts";
import { statisticsOnly, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

const writtenSchema = z.object({
  kind: z.string(),
  folder: z.string(),
  files: z.array(z.object({ name: z.string(), bytes: z.number() })),
  notes: z.array(z.string()),
});

test("prints the files with their sizes, or all of it as JSON, and writes the same bytes again", async () => {
  const { at, open } = await workshop();
  {
    await using store = await open("store", { training: { epochs: 1 } });
    await store.learn({ name: "a", train: texts(["aa", "bb"]) });
    await store.learn({ name: "b", train: texts(["cc", "dd"]) }, statisticsOnly);
  }
  const before = await bytesBelow(at("store"));
  const printed = await succeed("export", at("store"), "--to", "onnx", "--out", at("one"));
  expect(printed).toMatch(/^accrete\.json +\d+ B$/m);
  expect(printed.trim().split("\n").at(-1)).toBe(at("one"));
  const json = await succeed("export", at("store"), "--to", "onnx", "--out", at("two"), "--json");
  const written = writtenSchema.parse(JSON.parse(json));
  expect(written).toMatchObject({ kind: "onnx", folder: at("two"), notes: [] });
  const files = await bytesBelow(at("two"));
  expect(new Map(written.files.map(({ name, bytes }) => [name, bytes]))).toEqual(
    new Map(Object.entries(files).map(([name, hex]) => [name, hex.length / 2])),
  );
  expect(await bytesBelow(at("one"))).toEqual(files);
  // Whoever exports changes nothing of the store.
  expect(await bytesBelow(at("store"))).toEqual(before);
  expect((await readdir(dirname(at("two")))).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a note goes to standard error, and a refusal ends with 2", async () => {
  const { at, open } = await workshop();
  {
    await using store = await open("store", { training: { epochs: 1 } });
    await store.learn({ name: "a", train: texts(["aa", "bb"]) });
  }
  const noted = await accrete("export", at("store"), "--to", "peft", "--out", at("out"));
  expect(noted).toMatchObject({
    exitCode: 0,
    err: "note: a: no folder for vLLM: it serves no adapters of bert.\n",
  });
  const refused = await accrete("export", at("store"), "--to", "gguf-lora", "--out", join(at("out"), "x"));
  expect(refused.exitCode).toBe(2);
  expect(refused.err).toContain("llama.cpp adapts decoders alone");
});
