/** What all task types have in common that give a text one label. */
import type { Rng } from "../../core/random.ts";
import { splitValidation } from "../../data/split.ts";
import { type Answer, isTagged } from "../answers.ts";
import type { LearnedTask } from "../types.ts";
import { checkLabels, checkNewTask, labelledItems } from "./taskChecks.ts";
import type { Item, LabelledFigures, NewTask, PredictionLine, TaskToLearn } from "./taskType.ts";
import { countRight, goldOf, labelOf } from "./textScores.ts";

export abstract class TextLabelling {
  readonly sharesTest = false;

  check(task: NewTask, known: readonly Pick<LearnedTask, "name" | "labels">[], least = 2): TaskToLearn {
    checkNewTask(task, known);
    const { name, train, validation = [] } = task;
    return { name, labels: checkLabels(task, least), train, validation };
  }

  splitValidation(train: NewTask["train"], fraction: number, rng: Rng) {
    return splitValidation(labelledItems(train, "train"), fraction, rng);
  }

  headLabels({ labels }: Pick<TaskToLearn, "labels">): readonly string[] {
    return labels;
  }

  ownLabels(labels: readonly string[]): readonly string[] {
    return labels;
  }

  labelsOfClass(name: string): readonly string[] {
    return [name];
  }

  classNames(labels: readonly string[]): readonly string[] {
    return labels;
  }

  measure(items: readonly Item[], answers: readonly Answer[]): LabelledFigures {
    const perClass = new Map<string, { items: number; right: number }>();
    items.forEach((item, i) => {
      const gold = goldOf(item) ?? "";
      const own = perClass.get(gold) ?? { items: 0, right: 0 };
      own.items += 1;
      if (labelOf(answers[i]) === gold) own.right += 1;
      perClass.set(gold, own);
    });
    return {
      accuracy: countRight(items, answers) / Math.max(1, items.length),
      items: items.length,
      perClass: Object.fromEntries(
        [...perClass]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([label, own]) => [label, { accuracy: own.right / own.items, items: own.items }]),
      ),
    };
  }

  describePrediction(item: Item, answer: Answer): PredictionLine {
    return { gold: goldOf(item) ?? "", label: labelOf(answer), score: isTagged(answer) ? 0 : answer.score };
  }
}
