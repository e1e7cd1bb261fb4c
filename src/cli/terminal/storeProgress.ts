import type { ChangeEvent } from "../../model/changes.ts";
import { formatCount, formatEpoch, formatFitting, formatStep } from "./format.ts";
import { lasting, Progress, passing, type Shown } from "./renewingLine.ts";

export class StoreProgress extends Progress<ChangeEvent> {
  protected describe(event: ChangeEvent): Shown {
    switch (event.type) {
      case "started": {
        const steps = event.totalSteps === 0 ? "statistics only" : `${formatCount(event.totalSteps)} steps`;
        const counts = `${formatCount(event.trainExamples)} train, ${formatCount(event.validationExamples)} validation`;
        return lasting(`${event.task}: ${event.labels.length} labels, ${counts}, ${steps}`);
      }
      case "step":
        return passing(formatStep(event));
      case "epoch":
        // Few texts are gone through many times.
        return (event.epoch < 10 || event.epoch % 10 === 9 ? lasting : passing)(formatEpoch(event));
      case "features":
        return passing(`features ${formatCount(event.texts)}/${formatCount(event.totalTexts)}`);
      case "router-fitting":
        return passing(formatFitting(event));
      case "note":
        return lasting(`note: ${event.message}`);
    }
  }
}
