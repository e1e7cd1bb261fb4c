import { stdin } from "node:process";
import type { Completion } from "../../model/continualModel.ts";
import { StoppedError, UsageError } from "../terminal/failure.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { grouped, readLines } from "../terminal/lines.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface GenerateFlags {
  readonly file?: string;
  readonly maxNewTokens?: number;
  readonly task?: string;
  readonly exact?: boolean;
  readonly backbone?: string;
  readonly precision?: "fp32" | "int8";
  readonly device?: "cpu" | "webgpu";
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

/** `task-0 for 2 prompts, task-1 for 1`: whose adapters generated, in the order in which they did. */
function describeChoices(chosen: ReadonlyMap<string, number>): string {
  const parts = [...chosen].map(
    ([task, count], i) => `${task} for ${count}${i > 0 ? "" : count === 1 ? " prompt" : " prompts"}`,
  );
  return parts.join(", ");
}

function toLine(prompt: string | undefined, { completion, tokens, task }: Completion, json: boolean): string {
  return json ? JSON.stringify({ prompt, completion, tokens, task }) : completion;
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
  const { openGenerator } = await import("../../store/generator.ts");
  try {
    const { task, exact, backbone, precision, device, maxNewTokens, json = false } = flags;
    await using generator = await openGenerator(source, {
      background: false,
      ...(backbone !== undefined && { backbone }),
      ...(precision !== undefined && { precision }),
      ...(device !== undefined && { device }),
      signal,
    });
    const chosen = new Map<string, number>();
    for await (const group of grouped(asked, promptsAtOnce)) {
      const completions = await generator.generate(group, { task, exact, maxNewTokens, signal });
      completions.forEach((each, i) => {
        terminal.out(`${toLine(group[i], each, json)}\n`);
        if (each.task !== undefined) chosen.set(each.task, (chosen.get(each.task) ?? 0) + 1);
      });
    }
    if (chosen.size > 0 && task === undefined && exact !== true && !json)
      terminal.err(`Adapters: ${describeChoices(chosen)}; --task names one, --exact takes the newest.\n`);
  } catch (error) {
    if (!signal.aborted) throw error;
    await interrupt.waitForDuplicateSignal();
    throw new StoppedError("generate: stopped", "Texts continued so far are printed.");
  }
}
