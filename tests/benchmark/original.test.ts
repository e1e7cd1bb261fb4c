import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { originalSchema } from "../../src/benchmark/original/flags.ts";
import { type LoadedOriginal, loadOriginal } from "../../src/benchmark/original/load.ts";
import { otherFlags, otherMethods } from "../../src/benchmark/original/methods.ts";
import { parseWords } from "../../src/benchmark/original/readFlags.ts";
import { flagBehind, type TranslationContext, translate } from "../../src/benchmark/original/translate.ts";
import { encodeSentenceTasks } from "../../src/benchmark/prepare/encode.ts";
import { originalPage, renderOriginalPage } from "../../tools/docs/original.ts";
import { issuesOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";

/** A folder with the two-file layout under a name of the original's, and a YAML file of its flags. */
async function workplace(yaml: string, dataset = "clinc150_task15") {
  const folder = await temporaryFolder();
  const data = join(folder, dataset);
  await mkdir(data);
  const rows = ["a", "b"].map((label) => ({ text: `text ${label}`, label }));
  const tasks = [{ labels: ["a", "b"], train: rows, validation: rows, test: rows }];
  for (const [name, content] of encodeSentenceTasks(tasks)) await writeFile(join(data, name), content);
  const file = join(folder, "LoRA.yaml");
  await writeFile(file, yaml.replaceAll("DATA", data));
  return { folder, data, file };
}

const lora = `
il_mode: CIL
dataset: DATA
classification_type: sentence-level
backbone_type: discriminative
backbone_extract_token: cls_token
method: PEFT
PEFT_type: LoRA
lr: 1e-5
batch_size: 4
prompt_type: none
`;

async function load(yaml: string, ...words: string[]): Promise<LoadedOriginal & { data: string }> {
  const { data, file } = await workplace(yaml);
  return { ...(await loadOriginal({ file, words, faithful: false })), data };
}

const context: TranslationContext = {
  file: "x/LoRA.yaml",
  dataFolder: "/data/clinc150_task15",
  wordLevel: false,
  faithful: false,
  explicit: new Set(["method", "seed"]),
};

function raw(flags: Readonly<Record<string, unknown>>, changes: Partial<TranslationContext> = {}) {
  return translate(originalSchema.parse({ method: "PEFT", ...flags }), { ...context, ...changes });
}

test("the original's LoRA.yaml with its README's flags becomes a configuration of ours", async () => {
  const words = ["--backbone", "./bert-base-cased", "--classifier", "Linear", "--training_epochs", "5"];
  const { config, data } = await load(lora, ...words, "--dump_path=runs");
  expect(config).toEqual({
    backbone: join(process.cwd(), "bert-base-cased"),
    method: expect.objectContaining({
      adapter: "lora",
      rank: 4,
      alpha: 8,
      dropout: 0.1,
      bias: "none",
    }),
    head: { kind: "linear" },
    level: "sentence",
    outside: "own",
    feature: { pooling: "cls", normalize: false },
    stream: expect.objectContaining({ path: data, format: "continual", allowOverlap: true }),
    training: {
      epochs: 5,
      batchSize: 4,
      learningRate: 1e-5,
      headLearningRate: 1e-3,
      weightDecay: 5e-4,
      betas: [0.9, 0.999],
      epsilon: 1e-8,
      schedule: "constant",
      warmup: 0,
      gradientClipping: 0,
      maxLength: 50,
      backboneDropout: true,
    },
    precision: "fp32",
    seed: 1,
    out: join(process.cwd(), "runs", "default-LoRA"),
  });
});

describe("flags", () => {
  test("the command line beats the file and says so, as it was typed; the last one wins", async () => {
    const { config, typed } = await load(lora, "--classifier", "Linear", "--lr", "1e-3", "--lr=2e-3");
    expect(config.training.learningRate).toBe(2e-3);
    expect(typed).toEqual([
      "--classifier Linear",
      "--lr=2e-3 (the file says 0.00001; the command line wins)",
    ]);
  });

  test("our own overrides beat both", async () => {
    const { file } = await workplace(lora);
    const words = ["--classifier", "Linear", "--batch_size", "8"];
    const override = { key: "training.batchSize", value: 32, source: "--set" };
    const { config, overrides } = await loadOriginal({ file, words, faithful: false }, [override]);
    expect(config.training.batchSize).toBe(32);
    expect(overrides).toEqual([{ ...override, replaced: 8 }]);
  });

  test("words are taken apart; what cannot be a value is stray", () => {
    const { flags, stray } = parseWords([
      "x.yaml",
      "--early_stop",
      "-1",
      "--m",
      "a",
      "b",
      "--seed=3",
      "--text=",
    ]);
    expect(stray).toEqual(["x.yaml"]);
    expect(flags.map(({ name, values }) => [name, ...values])).toEqual([
      ["early_stop", "-1"],
      ["m", "a", "b"],
      ["seed", "3"],
      ["text", ""],
    ]);
  });

  test("lists, numbers and truth are read as they are meant", async () => {
    const { config, deviations, savesCheckpoints } = await load(
      lora,
      ...["--classifier", "CosineLinear", "--PEFT_lora_target_modules", "query", "key"],
      ...["--save_ckpt", "False", "--seed", "7"],
    );
    expect(config.method).toMatchObject({ targetModules: ["query", "key"] });
    expect(config.head).toEqual({ kind: "cosine", scale: 1 });
    expect(config.seed).toBe(7);
    expect(savesCheckpoints).toBe(false);
    expect(deviations).toContainEqual(expect.stringContaining("--save_ckpt False is false here"));
    expect(deviations.some((line) => line.startsWith("seed"))).toBe(false);
  });

  test("every problem at once, each under the flag's name, with the nearest one", async () => {
    const words = ["--classifer", "Linear", "--lr", "fast", "--PEFT_lora_r"];
    const issues = await issuesOf(() => load(`${lora}bach_size: 4\nclassifier: Softmax\n`, ...words));
    expect(issues).toEqual([
      expect.objectContaining({ path: "bach_size", expected: "the flag batch_size (did you mean it?)" }),
      expect.objectContaining({ path: "--classifer", expected: "the flag classifier (did you mean it?)" }),
      { path: "--PEFT_lora_r", expected: "one value", received: "nothing" },
      expect.objectContaining({ path: "classifier", expected: "one of None, Linear, CosineLinear" }),
      { path: "--lr", expected: "a number", received: '"fast"' },
    ]);
  });

  test("those that do not concern us are named and left, other methods' too", async () => {
    const { warnings } = await load(
      `${lora}info_per_steps: 5\nSEQ_fix_encoder: True\n`,
      ...["--is_wandb", "True", "--classifier", "Linear", "--EWC_lambda", "1"],
    );
    expect(warnings).toEqual([
      "of no concern here: info_per_steps, --is_wandb",
      "of no concern here, as only the method SEQ reads them: SEQ_fix_encoder",
      "of no concern here, as only the method EWC reads them: --EWC_lambda",
    ]);
    expect(new Set(otherFlags).size).toBe(otherFlags.length);
  });

  test("is_probing probes, where there is a vector to probe", async () => {
    const classifier = ["--classifier", "Linear"];
    const probed = await load(`${lora}is_probing: True\n`, ...classifier, "--il_mode", "TIL");
    expect(probed.config.probing).toEqual(["linear", "cosine", "prototype", "cosine-prototype"]);
    expect(probed.deviations.filter((line) => line.startsWith("is_probing:"))).toHaveLength(2);
    expect(probed.warnings).toEqual([]);
    const off = await load(lora, ...classifier, "--is_probing", "False");
    expect(off.config.probing).toBeUndefined();
    expect(off.deviations).toContainEqual(expect.stringContaining("--is_probing False is false here"));
    for (const flags of [
      { classifier: "None" },
      { classifier: "Linear", classification_type: "word-level" },
    ]) {
      const left = raw({ is_probing: "True", ...flags });
      expect(left.raw.probing).toBeUndefined();
      expect(left.deviations).toContainEqual(expect.stringContaining("is_probing is left out"));
    }
  });
});

describe("refusals", () => {
  test.each([
    ["another method", { method: "EWC" }, "method", "EWC"],
    ["a replay method", { method: "DERpp" }, "method", "DERpp"],
    [
      "a method that never was",
      { method: "PEFTT" },
      "method",
      "PEFTT, which the original has not (did you mean PEFT?)",
    ],
    ["replay", { is_replay: "True" }, "is_replay", "true"],
    ["random weights", { backbone_random_init: true }, "backbone_random_init", "true"],
    ["instances", { il_mode: "IIL" }, "il_mode", "IIL"],
    ["no adapter", { PEFT_type: null }, "PEFT_type", "None"],
    [
      "cls_token of a decoder",
      { backbone_type: "generative", backbone_extract_token: "cls_token", classifier: "Linear" },
      "backbone_extract_token",
      "cls_token",
    ],
  ])("%s", (_, flags, flag, received) => {
    expect(raw(flags).issues).toEqual([{ flag, expected: expect.any(String), received }]);
  });

  test("an absent method is the original's SEQ", async () => {
    const [issue] = await issuesOf(() => load(lora.replace("method: PEFT\n", "")));
    expect(issue).toMatchObject({ received: "SEQ, the original's default" });
    expect(issue?.path).toBe('--method (not given: "SEQ")');
  });

  test("what our configuration refuses is refused under the flag's name", async () => {
    const issues = await issuesOf(() =>
      load(lora, "--classifier", "Linear", "--PEFT_lora_r", "0", "--batch_size=0"),
    );
    expect(issues.map(({ path }) => path).sort()).toEqual([
      "--PEFT_lora_r, our method.rank",
      "--batch_size, our training.batchSize",
    ]);
    const { file } = await workplace(lora);
    const wrong = { key: "training.epochs", value: 0, source: "--set" };
    const words = ["--classifier", "Linear", "--training_epochs", "3"];
    const [own] = await issuesOf(() => loadOriginal({ file, words, faithful: false }, [wrong]));
    expect(own?.path).toBe("training.epochs");
    const meanings = { PEFT_type: { ours: ["method.adapter"] }, method: { ours: ["method"] } };
    const issue = { expected: "", received: "" };
    expect(flagBehind({ ...issue, path: "method.adapter" }, meanings)).toBe("PEFT_type");
    expect(flagBehind({ ...issue, path: "method.other" }, meanings)).toBe("method");
    expect(flagBehind({ ...issue, path: "elsewhere" }, meanings)).toBeUndefined();
  });

  test("a dataset that is nowhere: both places are named, and what makes it", async () => {
    const [issue] = await issuesOf(() => load(lora, "--classifier", "Linear", "--dataset", "nowhere"));
    expect(issue).toMatchObject({
      path: "--dataset",
      expected: expect.stringContaining("accrete prepare"),
      received: `none at ${join(process.cwd(), "nowhere")} or ${join(process.cwd(), "dataset", "nowhere")}`,
    });
  });

  test("a configuration and --cfg at once", async () => {
    await expect(load(lora, "other.yaml")).rejects.toThrow("other.yaml: a configuration and --cfg at once");
  });
});

describe("translation", () => {
  const prompted = { PEFT_type: "PromptTuning", classifier: "Linear", prompt_type: "none" };

  test("the original's defaults: prompt tuning, no head, last token, a prompt by dataset", () => {
    expect(raw({}).raw).toMatchObject({
      backbone: "EleutherAI/pythia-70m-deduped",
      method: {
        adapter: "prompt-tuning",
        virtualTokens: 10,
        init: { text: "Classify the intent of this sentence:" },
      },
      head: "none",
      prompt: "default",
      training: { epochs: 10, batchSize: 4, learningRate: 1e-5, headLearningRate: 1e-3, maxLength: 50 },
    });
    expect(raw({}).raw).not.toHaveProperty("feature");
  });

  test.each([
    ["auto of a dataset that the original has not", { dataset: "mine", prompt_type: "none" }, "auto"],
    ["none", { PEFT_prompt_tuning_init_text: "None" }, "random"],
    ["a text", { PEFT_prompt_tuning_init_text: "Say it:" }, { text: "Say it:" }],
  ])("first prompt values: %s", (_, flags, init) => {
    expect(raw(flags).raw).toMatchObject({ method: { init } });
  });

  test("cls_token under prompt tuning is the text's own, unless --faithful", () => {
    const flags = { ...prompted, backbone_extract_token: "cls_token" };
    const ours = raw(flags);
    expect(ours.raw).toMatchObject({ feature: { pooling: "cls" } });
    expect(ours.deviations.filter((line) => line.includes("text's own [CLS]"))).toHaveLength(1);
    const theirs = raw(flags, { faithful: true });
    expect(theirs.raw).toMatchObject({ feature: { pooling: "peft-first" } });
    expect(theirs.deviations.some((line) => line.includes("[CLS]"))).toBe(false);
    expect(raw({ ...flags, PEFT_type: "LoRA" }, { faithful: true }).raw).toMatchObject({
      feature: { pooling: "cls" },
    });
  });

  test("an absent Sub_PEFT_type is none, unless --faithful", () => {
    const flags = { PEFT_type: "LoRA" };
    expect(raw(flags).raw.method).not.toHaveProperty("selector");
    expect(raw(flags).deviations).toContainEqual(expect.stringContaining("Sub_PEFT_type is absent"));
    expect(raw(flags, { faithful: true }).raw).toMatchObject({ method: { selector: "newlora" } });
    const none = { ...flags, Sub_PEFT_type: "None" };
    expect(raw(none, { faithful: true }).raw.method).not.toHaveProperty("selector");
    expect(raw({ ...flags, Sub_PEFT_type: "NewLoRA" }).raw).toMatchObject({
      method: { selector: "newlora" },
    });
  });

  test("early_stop is obeyed, unless --faithful", () => {
    expect(raw({ early_stop: 3 }).raw).toMatchObject({ training: { earlyStopping: { patience: 3 } } });
    expect(raw({ early_stop: 3 }, { faithful: true }).raw.training).not.toHaveProperty("earlyStopping");
    expect(raw({}).raw.training).not.toHaveProperty("earlyStopping");
  });

  test("words: by name, by flag, or by the files; neither prompt nor feature", () => {
    const word = { classifier: "Linear", PEFT_type: "LoRA" };
    const named = raw({ ...word, dataset: "ontonotes5_task6_base8_inc2" });
    expect(named.raw).toMatchObject({ level: "word", outside: "first", training: { maxLength: 128 } });
    expect(named.raw).not.toHaveProperty("prompt");
    expect(named.raw).not.toHaveProperty("feature");
    expect(raw({ ...word, dataset: "mine" }, { wordLevel: true }).raw).toMatchObject({ level: "word" });
    const flag = { ...word, classification_type: "sentence-level", prompt_type: "none" };
    expect(raw({ ...flag, dataset: "mine" }, { wordLevel: true }).raw).toMatchObject({ level: "sentence" });
  });

  test("prompts by name; auto needs a dataset that the original knows", () => {
    const prompt = (flags: Readonly<Record<string, unknown>>) => raw(flags).raw.prompt;
    expect(prompt({ prompt_type: "qa" })).toBe("qa");
    expect(prompt({ prompt_type: "none" })).toBe("none");
    expect(prompt({ prompt_type: "none", classifier: "Linear" })).toBeUndefined();
    expect(prompt({ classifier: "Linear" })).toBe("default");
    expect(prompt({ dataset: "some/where/fewrel_task8" })).toBe("relation");
    expect(prompt({ prompt_type: "relation_classification_state_no_pos" })).toBe("relation-no-pos");
    expect(raw({ dataset: "mine" }).issues).toMatchObject([{ flag: "prompt_type", received: "auto" }]);
    const headed = raw({ dataset: "mine", classifier: "Linear" });
    expect(headed.issues).toEqual([]);
    expect(headed.raw).not.toHaveProperty("prompt");
    expect(headed.deviations).toContainEqual(
      expect.stringContaining("prompt_type auto goes by the dataset's name"),
    );
    // What accrete prepare recorded says which set a folder of any name holds.
    const recorded = raw({ dataset: "prepared" }, { recorded: "fewrel" });
    expect(recorded.issues).toEqual([]);
    expect(recorded.raw).toMatchObject({ prompt: "relation", training: { maxLength: 100 } });
  });

  test("the run folder is named by prefix and file", () => {
    expect(raw({ exp_prefix: "try" }).raw.out).toBe(join("experiments", "try-LoRA"));
    const { file: _, ...alone } = context;
    const flagsAlone = translate(originalSchema.parse({ method: "PEFT", dump_path: "" }), alone);
    expect(flagsAlone.raw.out).toBe("default");
  });
});

test("docs/original.md is what the flags say (npx tsx tools/docs/original.ts writes it)", async () => {
  const page = await readFile(originalPage, "utf8");
  expect(renderOriginalPage(page)).toBe(page);
  expect(page).toContain("| `lr` | `training.learningRate` | `0.00001` |");
  for (const name of Object.keys(otherMethods)) expect(page).toContain(`\`${name}\``);
});
