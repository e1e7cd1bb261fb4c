// A metric of one's own: the accuracy of the class that is answered worst after the last task.
import { registerMetric } from "accrete-lm/extend";

registerMetric("worst-class", ({ level, predictions }) => {
  if (level === "word" || predictions.length === 0) return undefined;
  const counts = new Map();
  for (const { gold, label } of predictions) {
    const count = counts.get(gold) ?? { right: 0, all: 0 };
    counts.set(gold, { right: count.right + (label === gold ? 1 : 0), all: count.all + 1 });
  }
  return Math.min(...[...counts.values()].map(({ right, all }) => right / all));
});
