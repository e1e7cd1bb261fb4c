/** Runs: those that are listed, one as it goes on, and several side by side. */
import { useEffect, useState } from "preact/hooks";
import type { RunSummary } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { ago, duration, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Notice } from "../parts/notice.tsx";
import { Compare } from "./compare.tsx";
import { RunDetail } from "./run.tsx";

const LOOK_MS = 3000;

const states = { running: "running", finished: "finished", stopped: "stopped" } as const;

/** @param open the run that is looked at; empty: the list */
export function RunsScreen({ open }: { readonly open: string }) {
  const { client } = useSession();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const runs = useLoaded((signal) => client.runs({ signal }), [open]);
  useEffect(() => {
    if (open !== "") return;
    const timer = setInterval(runs.reload, LOOK_MS);
    return () => clearInterval(timer);
  }, [open, runs.reload]);
  if (open !== "") return <RunDetail id={open} />;
  const found = runs.value?.runs ?? [];
  return (
    <>
      <h1>Runs</h1>
      {runs.error !== undefined && <Notice kind="error">{runs.error}</Notice>}
      {runs.value && found.length === 0 && (
        <p>There is none yet. A run shows up here as soon as it has begun.</p>
      )}
      {found.length > 0 && (
        <RunTable
          runs={found}
          chosen={chosen}
          onChoose={(id, isChosen) =>
            setChosen((before) => (isChosen ? [...before, id] : before.filter((each) => each !== id)))
          }
        />
      )}
      {chosen.length > 1 && <Compare ids={chosen} />}
      {chosen.length < 2 && found.length > 1 && <p class="quiet">Tick two or more to compare them.</p>}
    </>
  );
}

interface TableProps {
  readonly runs: readonly RunSummary[];
  readonly chosen: readonly string[];
  readonly onChoose: (id: string, isChosen: boolean) => void;
}

function RunTable({ runs, chosen, onChoose }: TableProps) {
  return (
    <section class="card">
      <table class="cards">
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">Compare</span>
            </th>
            <th scope="col">Run</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Tasks
            </th>
            <th scope="col" class="number">
              Accuracy
            </th>
            <th scope="col" class="number">
              Learning took
            </th>
            <th scope="col">Started</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <td data-name="Compare">
                <input
                  type="checkbox"
                  aria-label={`Compare ${run.id}`}
                  checked={chosen.includes(run.id)}
                  onChange={({ currentTarget }) => onChoose(run.id, currentTarget.checked)}
                />
              </td>
              <th scope="row">
                <a href={`#/runs/${encodeURIComponent(run.id)}`}>{run.id}</a>
              </th>
              <td data-name="State">
                <span class={`tag ${run.state}`}>{states[run.state]}</span>
              </td>
              <td class="number" data-name="Tasks">
                {run.tasksDone} of {run.tasks}
              </td>
              <td class="number" data-name="Accuracy">
                {run.accuracy === undefined ? "–" : percent(run.accuracy)}
              </td>
              <td class="number" data-name="Learning took">
                {run.trainSeconds === undefined ? "–" : duration(run.trainSeconds)}
              </td>
              <td data-name="Started">{ago(run.started)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
