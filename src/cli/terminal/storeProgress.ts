import type { ChangeEvent } from "../../model/teachable.ts";
import { formatCount, formatFitting, formatPercent } from "./format.ts";
import { RenewingLine } from "./renewingLine.ts";
import type { Terminal } from "./terminal.ts";

/** Tells a person how a store learns: on a terminal one line that renews itself, otherwise a plain line an epoch. */
export class StoreProgress {
  private readonly terminal: Terminal;
  private readonly line: RenewingLine;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
    this.line = new RenewingLine(terminal);
  }

  print(event: ChangeEvent): void {
    const { text, lasting } = describe(event);
    if (lasting) {
      this.clear();
      this.terminal.err(`${text}\n`);
    } else this.line.say(text);
  }

  /** Takes the renewing line away, so that what follows starts on a clean one. */
  clear(): void {
    this.line.clear();
  }
}

function describe(event: ChangeEvent): { readonly text: string; readonly lasting: boolean } {
  switch (event.type) {
    case "started": {
      const steps = event.totalSteps === 0 ? "statistics only" : `${formatCount(event.totalSteps)} steps`;
      const counts = `${formatCount(event.trainExamples)} train, ${formatCount(event.validationExamples)} validation`;
      return { text: `${event.task}: ${event.labels.length} labels, ${counts}, ${steps}`, lasting: true };
    }
    case "step": {
      const { epoch, step, totalSteps, loss } = event;
      const text = `epoch ${epoch + 1} · step ${step}/${totalSteps} · loss ${loss.toFixed(3)}`;
      return { text, lasting: false };
    }
    case "epoch": {
      const { epoch, meanLoss, validationAccuracy } = event;
      const validation =
        validationAccuracy === undefined ? "" : `, validation ${formatPercent(validationAccuracy)}`;
      return { text: `epoch ${epoch + 1}: loss ${meanLoss.toFixed(4)}${validation}`, lasting: true };
    }
    case "features": {
      const { texts, totalTexts } = event;
      return { text: `features ${formatCount(texts)}/${formatCount(totalTexts)}`, lasting: false };
    }
    case "router-fitting":
      return { text: formatFitting(event), lasting: false };
    case "note":
      return { text: `note: ${event.message}`, lasting: true };
  }
}
