/** The loss, step by step, with a line where a task begins. */
import type { RunView } from "../../client/index.ts";

const [WIDTH, HEIGHT] = [600, 140];

export function LossCurve({ points }: { readonly points: RunView["loss"] }) {
  const losses = points.map(({ loss }) => loss);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const range = Math.max(most - least, 1e-9);
  const last = Math.max(1, points.at(-1)?.step ?? 1);
  const x = (step: number) => ((step / last) * WIDTH).toFixed(1);
  const y = (loss: number) => (HEIGHT - 4 - ((loss - least) / range) * (HEIGHT - 8)).toFixed(1);
  const line = points.map(({ step, loss }, i) => `${i === 0 ? "M" : "L"}${x(step)} ${y(loss)}`).join("");
  const begins = points.filter(({ task }, i) => i > 0 && points[i - 1]?.task !== task);
  const [first, now] = [losses[0] ?? 0, losses.at(-1) ?? 0];
  return (
    <figure>
      <svg
        class="curve"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`The loss went from ${first.toFixed(2)} to ${now.toFixed(2)}`}
      >
        {begins.map(({ step }) => (
          <line key={step} class="curve-task" x1={x(step)} x2={x(step)} y1="0" y2={HEIGHT} />
        ))}
        <path class="curve-line" d={line} />
      </svg>
      <figcaption class="quiet">
        From {first.toFixed(2)} to {now.toFixed(2)}, between {least.toFixed(2)} and {most.toFixed(2)}. Upright
        lines: where a task begins.
      </figcaption>
    </figure>
  );
}
