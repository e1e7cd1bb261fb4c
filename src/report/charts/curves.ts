/** Small square drawings of one curve against a diagonal. */
import * as Plot from "@observablehq/plot";
import type { ReliabilityBin } from "../record/answers.ts";
import { formatPercent } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import { draw, heights } from "./plot.ts";

const percent = (value: number) => `${Math.round(value * 100)} %`;
const quarters = [0, 0.25, 0.5, 0.75, 1];

function square(width: number, ariaLabel: string, below: string, marks: readonly Plot.Markish[]): Markup {
  return draw({
    ariaLabel,
    width,
    height: Math.round(width * 0.62),
    marginLeft: 44,
    marginRight: 24,
    marginTop: 12,
    marginBottom: 40,
    x: { domain: [0, 1], label: null },
    y: { domain: [0, 1], label: null },
    marks: [
      ...heights(quarters, percent),
      Plot.axisX(quarters, {
        tickSize: 0,
        tickFormat: percent,
        label: below,
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.line(
        [
          [0, 0],
          [1, 1],
        ],
        { stroke: "var(--muted)", strokeDasharray: "2 4" },
      ),
      ...marks,
    ],
  });
}

/** How often answers of a score are right; on the diagonal scores are probabilities. A dot's area is its share of the answers. */
export function drawReliability(bins: readonly ReliabilityBin[], width: number): Markup {
  const most = Math.max(...bins.map(({ count }) => count));
  return square(width, "Share of right answers by their score", "score", [
    Plot.line(bins, { x: "score", y: "accuracy", stroke: "var(--routed)", strokeWidth: 1.75 }),
    Plot.dot(bins, {
      x: "score",
      y: "accuracy",
      r: ({ count }: ReliabilityBin) => 2.5 + 6 * Math.sqrt(count / most),
      fill: "var(--routed)",
      stroke: "var(--panel)",
      title: ({ score, accuracy, count }: ReliabilityBin) =>
        `${count} answers with a mean score of ${formatPercent(score)} %: ${formatPercent(accuracy)} % right`,
    }),
  ]);
}

/** Texts out of scope that are found, against texts in scope that are rejected with them. */
export function drawRoc(points: readonly (readonly [number, number])[], width: number): Markup {
  return square(width, "Texts out of scope found, by texts in scope rejected", "in scope, rejected", [
    Plot.line(points, { stroke: "var(--routed)", strokeWidth: 2.25 }),
  ]);
}
