import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createRng } from "../../src/core/random.ts";
import { measureOverlap } from "../../tools/demo/features.ts";
import { fillFrame, generateDemo, normalise, sentencesPerIntent } from "../../tools/demo/generate.ts";
import { demoTasks } from "../../tools/demo/intents/index.ts";
import { demoFiles } from "../../tools/demo/make.ts";

const demo = generateDemo();
const intents = demoTasks.flatMap((task) => task.intents);
const splits = ["train", "validation", "test"] as const;

describe("demo stream", () => {
  it("lies in demo/ as the generator writes it, byte for byte", () => {
    for (const [name, content] of Object.entries(demoFiles())) {
      const file = fileURLToPath(new URL(`../../demo/${name}`, import.meta.url));
      expect(readFileSync(file, "utf8"), name).toBe(content);
    }
  });

  it("is a function of its seed", () => {
    expect(generateDemo(1)).toEqual(demo);
    expect(generateDemo(2).train).not.toEqual(demo.train);
  });

  it("holds no sentence twice, within or across splits", () => {
    const texts = splits.flatMap((split) => demo[split].map(({ text }) => normalise(text)));
    const seen = new Set<string>();
    expect(texts.filter((text) => seen.size === seen.add(text).size)).toEqual([]);
  });

  it("has at least five tasks of four intents, each with the promised number of sentences", () => {
    expect(demoTasks.length).toBeGreaterThanOrEqual(5);
    for (const task of demoTasks) expect(task.intents.length, task.name).toBe(4);
    for (const split of splits) {
      for (const { label } of intents) {
        const rows = demo[split].filter((example) => example.label === label);
        expect(rows.length, `${label} ${split}`).toBe(sentencesPerIntent[split]);
      }
    }
  });

  it("shares no frame between splits", () => {
    const frames = intents.flatMap((intent) => splits.flatMap((split) => intent[split]));
    expect(new Set(frames).size).toBe(frames.length);
  });

  it("leaves no slot unfilled and reads as sentences", () => {
    for (const { text } of splits.flatMap((split) => demo[split])) {
      expect(text).toMatch(/^[A-Z][^{}]*[.?!]$/);
      expect(text).not.toMatch(/ {2}|\b[Aa] [aeio](?!ne)|\b[Aa]n [^aeiouhAEIOU]|\bthe the\b/);
    }
  });

  it("names the labels in demo.yaml task by task", () => {
    const config: unknown = parse(demoFiles()["demo.yaml"] ?? "");
    expect(config).toMatchObject({
      stream: {
        taskList: demoTasks.map(({ name, intents }) => ({ name, labels: intents.map(({ label }) => label) })),
      },
    });
  });

  it("words its test unlike its training", () => {
    const overlap = measureOverlap(demo.train, demo.test);
    expect(overlap.contentWords).toBeLessThan(0.2);
    expect(overlap.wordPairs).toBeLessThan(0.1);
    // Against itself everything is shared, so the measure does see sharing.
    expect(measureOverlap(demo.train, demo.train).contentWords).toBe(1);
  });
});

describe("fillFrame", () => {
  it("gives a slot that stands twice two different fillers", () => {
    for (let seed = 0; seed < 50; seed++) {
      const [from, to] = fillFrame("{city}|{city}", "test", createRng(seed)).split("|");
      expect(from).not.toBe(to);
    }
  });

  it("mends the article before a vowel", () => {
    const filled = Array.from({ length: 40 }, (_, seed) =>
      fillFrame("a {cuisine} meal", "train", createRng(seed)),
    );
    expect(filled).toContain("an Italian meal");
    expect(filled).toContain("a Thai meal");
  });

  it("names the slot that does not exist", () => {
    expect(() => fillFrame("to {planet}", "train", createRng(1))).toThrow(/no slot is called planet/);
  });
});
