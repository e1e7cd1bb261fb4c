import { stdin } from "node:process";
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import type { RouterFitting, RunLevel } from "../../core/record.ts";
import { excerpt } from "../../data/encoding/tokenizer.ts";
import { toCharacterSpans } from "../../data/files/spans.ts";
import { splitAtBlanks } from "../../data/files/words.ts";
import type { AnswerOptions } from "../../model/changes.ts";
import type { Predictor } from "../../store/openRun.ts";
import { StoppedError, UsageError } from "../terminal/failure.ts";
import { formatFitting } from "../terminal/format.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { grouped, readLines } from "../terminal/lines.ts";
import { RenewingLine } from "../terminal/renewingLine.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface PredictFlags {
  readonly file?: string;
  readonly task?: string;
  readonly exact?: boolean;
  readonly top?: number;
  readonly preTokenized?: boolean;
  readonly minScore?: number;
  readonly spans?: boolean;
  readonly coverage?: number;
  readonly backbone?: string;
  readonly json?: boolean;
}

/** Texts that are predicted together: enough to fill batches of like lengths, few enough for any file to fit. */
const textsAtOnce = 256;
const defaultTop = 5;

function questions(
  texts: readonly string[],
  file: string | undefined,
  signal: AbortSignal,
): Iterable<string> | AsyncIterable<string> {
  if (texts.length > 0 && file !== undefined) {
    throw new UsageError("predict: texts and --file at once", { hint: "Give one of the two." });
  }
  if (texts.length > 0) return texts;
  if (file === undefined && stdin.isTTY === true) {
    throw new UsageError("predict: no text given", {
      hint: 'Give texts in quotes, --file <f>, or pipe them in: echo "a text" | accrete predict <run>',
    });
  }
  return readLines(file, signal);
}

function toJson(prediction: Prediction): string {
  const { text, label, score, task, top, unknown, set, setCalibrated, passes, version, router } = prediction;
  const rest = { unknown, set, setCalibrated, passes, version, router };
  return JSON.stringify({ text, label, score, task, top, ...rest });
}

/** `0.913  label  (task)  text`, then the runners-up where they were asked for. */
function toLines(prediction: Prediction, showTop: boolean): string {
  const score = (value: number) => value.toFixed(3);
  const { label, task, text, top, set, setCalibrated } = prediction;
  const named = label ?? `unknown, nearest ${top[0]?.label}`;
  const among = set === undefined ? "" : `  one of: ${set.join(", ") || "none learned"}\n`;
  const doubt = setCalibrated === false ? "  (too few texts were held out to promise less)\n" : "";
  const first = `${score(prediction.score)}  ${named}  (${task})  ${text}\n${among}${doubt}`;
  if (!showTop) return first;
  return (
    first +
    top
      .slice(1)
      .map((each) => `  ${score(each.score)}  ${each.label}\n`)
      .join("")
  );
}

/** The text, then a line an entity: `  0.913  location  Empire State Building  (13–34)`. */
function entityLines({ text, entities }: TaggedText): string {
  const lines = entities.map(
    ({ type, score, word, start, end }) => `  ${score.toFixed(3)}  ${type}  ${word}  (${start}–${end})\n`,
  );
  return `${text}\n${lines.join("")}`;
}

type Answer = (
  predictor: Predictor,
  texts: readonly string[],
  options: AnswerOptions,
  flags: PredictFlags,
  warn: (message: string) => void,
) => Promise<string[]>;

/** What is printed for each text. */
const answers: { readonly [L in RunLevel]: Answer } = {
  sentence: async (predictor, texts, options, { json, top, ...words }) => {
    refuse("finds no entities, but gives texts a label", {
      "--pre-tokenized": words.preTokenized,
      "--min-score": words.minScore,
      "--spans": words.spans,
    });
    const predictions = await predictor.predict(
      texts.map((text) => ({ text })),
      options,
    );
    return predictions.map((each) =>
      json === true ? `${toJson(each)}\n` : toLines(each, top !== undefined),
    );
  },
  word: async (predictor, texts, options, { json, top, preTokenized, minScore, spans }, warn) => {
    refuse("finds entities, which have no runners-up", { "--top": top });
    const items = texts.map((text) =>
      preTokenized === true ? { text, words: splitAtBlanks(text).words } : { text },
    );
    const tagged = await predictor.findEntities(items, { ...options, minScore });
    for (const { text, unreadWords } of tagged)
      if (unreadWords !== undefined)
        warn(
          `${excerpt(text)}: ${unreadWords} words at the end are more than the model reads; cut the text in two`,
        );
    return tagged.map((each) => {
      if (spans === true) return `${JSON.stringify(toSpans(each))}\n`;
      return json === true ? `${JSON.stringify(each)}\n` : entityLines(each);
    });
  },
};

/** @throws UsageError naming the first flag that is set and has no meaning here */
function refuse(why: string, flags: Readonly<Record<string, unknown>>): void {
  const [flag] = Object.entries(flags).find(([, value]) => value !== undefined) ?? [];
  if (flag !== undefined)
    throw new UsageError(`predict ${flag}: this run ${why}`, { hint: `Leave ${flag} out.` });
}

function toSpans({ text, entities }: TaggedText) {
  return { text, entities: toCharacterSpans(text, entities) };
}

export async function predictCommand(
  run: string,
  texts: readonly string[],
  flags: PredictFlags,
  terminal: Terminal,
): Promise<void> {
  if (flags.exact === true && flags.task !== undefined)
    throw new UsageError("predict: --task and --exact at once", {
      hint: "--task asks one task's head, --exact those of all.",
    });
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const asked = questions(texts, flags.file, signal);
  const line = new RenewingLine(terminal);
  const { openRun } = await import("../../store/openRun.ts");
  try {
    const backbone = flags.backbone === undefined ? {} : { backbone: flags.backbone };
    await using predictor = await openRun(run, { ...backbone, background: false, signal });
    const exact = flags.exact === undefined ? {} : { exact: flags.exact };
    const task = flags.task === undefined ? {} : { task: flags.task };
    const onFitting = (progress: RouterFitting) => line.say(formatFitting(progress));
    const options: AnswerOptions = {
      ...task,
      ...exact,
      ...(flags.coverage !== undefined && { coverage: flags.coverage }),
      top: flags.top ?? defaultTop,
      signal,
      onFitting,
    };
    for await (const group of grouped(asked, textsAtOnce)) {
      const warn = (message: string) => line.write(`note: ${message}`);
      const lines = await answers[predictor.level](predictor, group, options, flags, warn);
      line.clear();
      for (const text of lines) terminal.out(text);
    }
  } catch (error) {
    line.clear();
    if (!signal.aborted) throw error;
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError("predict: stopped", "Texts answered so far are printed.");
  }
}
