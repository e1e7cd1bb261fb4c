import { stdin } from "node:process";
import { StoppedError, UsageError } from "../failure.ts";
import { Interrupt } from "../interrupt.ts";
import { grouped, readLines } from "../lines.ts";
import type { Terminal } from "../terminal.ts";

export interface GenerateFlags {
  readonly file?: string;
  readonly maxNewTokens?: number;
  readonly task?: string;
  readonly backbone?: string;
  readonly json?: boolean;
}

/** Prompts that are continued together: enough to fill batches of like lengths, few enough for any file to fit. */
const promptsAtOnce = 64;

function askedPrompts(
  prompts: readonly string[],
  file: string | undefined,
  signal: AbortSignal,
): Iterable<string> | AsyncIterable<string> {
  if (prompts.length > 0 && file !== undefined)
    throw new UsageError("generate: prompts and --file at once", { hint: "Give one of the two." });
  if (prompts.length > 0) return prompts;
  if (file === undefined && stdin.isTTY === true)
    throw new UsageError("generate: no prompt given", {
      hint: 'Give prompts in quotes, --file <f>, or pipe them in: echo "Once" | accrete generate <model>',
    });
  return readLines(file, signal);
}

export async function generateCommand(
  source: string,
  prompts: readonly string[],
  flags: GenerateFlags,
  terminal: Terminal,
): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const asked = askedPrompts(prompts, flags.file, signal);
  const { openGenerator } = await import("../../app/generator.ts");
  try {
    const task = flags.task === undefined ? {} : { task: flags.task };
    const backbone = flags.backbone === undefined ? {} : { backbone: flags.backbone };
    await using generator = await openGenerator(source, { ...task, ...backbone, signal });
    const limit = flags.maxNewTokens === undefined ? {} : { maxNewTokens: flags.maxNewTokens };
    for await (const group of grouped(asked, promptsAtOnce)) {
      const completions = await generator.generate(group, { ...limit, signal });
      completions.forEach((completion, i) => {
        const line = flags.json === true ? JSON.stringify({ prompt: group[i], completion }) : completion;
        terminal.out(`${line}\n`);
      });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    await interrupt.outlastTwin();
    throw new StoppedError("generate: stopped", "Texts continued so far are printed.");
  }
}
