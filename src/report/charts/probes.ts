/** The page's table of what probes found in the features. */
import { type ProbingMetrics, probeKinds } from "../../core/record.ts";
import { mean } from "../record/figures.ts";
import { formatPercent } from "../record/format.ts";
import { html, type Markup } from "../record/markup.ts";
import type { RunRecord } from "../record/record.ts";

/** Undefined where the run does not probe. */
export function renderProbes({
  record,
}: {
  readonly record: Pick<RunRecord, "probing" | "tasks">;
}): Markup | undefined {
  const { probing } = record;
  if (probing === undefined) return undefined;
  return html`<p class="note">Classifiers fitted to features as they are, on the training texts of all tasks, and asked for
the right one among all classes: first the features of the backbone alone, then those that each task's adapter makes once
it is learned. They measure what an adapter did to the features; as they see later tasks, too, they are no method.</p>
<div class="panel">${renderTable(probing, record)}</div>`;
}

function renderTable(probing: ProbingMetrics, { tasks }: Pick<RunRecord, "tasks">): Markup {
  const kinds = probeKinds.filter((kind) => probing[kind] !== undefined);
  const count = Math.max(...kinds.map((kind) => probing[kind]?.length ?? 0));
  const rows = Array.from({ length: count }, (_, learned) => {
    const name =
      learned === 0 ? html`the backbone alone` : html`${learned - 1} <bdi>${tasks[learned - 1]?.name}</bdi>`;
    const cells = kinds.map((kind) => {
      const row = probing[kind]?.[learned] ?? [];
      return html`<td>${formatPercent(mean(row))}</td><td>${formatPercent(row[learned - 1])}</td>`;
    });
    return html`<tr><th scope="row" class="left">${name}</th>${cells}</tr>\n`;
  });
  return html`<div class="scroll"><table><caption class="legend left">Mean accuracy over the test texts of all tasks, and
accuracy on those of the adapter's own, %</caption>
<thead><tr><th scope="col" class="left">features of</th>${kinds.map(
    (kind) => html`<th scope="col">${kind}</th><th scope="col">own task</th>`,
  )}</tr></thead><tbody>${rows}</tbody></table></div>`;
}
