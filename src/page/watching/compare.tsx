/** Runs side by side. */
import { useLoaded } from "../model/load.ts";
import { duration, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { LossCurve } from "../parts/lossCurve.tsx";
import { Notice } from "../parts/notice.tsx";
import { Scroll } from "../parts/scroll.tsx";

export function Compare({ ids }: { readonly ids: readonly string[] }) {
  const { client } = useSession();
  const { value, error } = useLoaded(
    (signal) => Promise.all(ids.map((id) => client.run({ id }, { signal }))),
    [ids],
  );
  if (error !== undefined) return <Notice kind="error">{error}</Notice>;
  if (value === undefined) return <p class="quiet">Loading…</p>;
  const figures = [
    ["Mean over tasks", value.map(({ accuracy }) => accuracy && percent(accuracy))],
    [
      "Forgotten",
      value.map(({ forgetting }) => (forgetting === undefined ? undefined : percent(forgetting))),
    ],
    ["Passes a text", value.map(({ passesPerExample }) => passesPerExample?.toFixed(2))],
    ["Learning took", value.map(({ trainSeconds }) => trainSeconds && duration(trainSeconds))],
    ["Tasks", value.map(({ tasksDone, tasks }) => `${tasksDone} of ${tasks}`)],
    ["Backbone", value.map(({ backbone }) => backbone)],
  ] as const;
  const tasks = [...new Set(value.flatMap(({ taskNames }) => taskNames))];
  return (
    <section class="card">
      <h2>Side by side</h2>
      <Scroll label="Runs side by side">
        <table class="grid">
          <thead>
            <tr>
              <th scope="col">Figure</th>
              {value.map(({ id }) => (
                <th scope="col" key={id} class="number">
                  {id}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {figures.map(([name, cells]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {cells.map((cell, i) => (
                  <td key={value[i]?.id} class="number">
                    {cell ?? "–"}
                  </td>
                ))}
              </tr>
            ))}
            {tasks.map((task) => (
              <tr key={`task ${task}`}>
                <th scope="row">On {task}, in the end</th>
                {value.map(({ id, matrix, taskNames }) => {
                  const last = matrix.at(-1)?.[taskNames.indexOf(task)];
                  return (
                    <td key={id} class="number">
                      {last === undefined || last === null ? "–" : percent(last)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <div class="side">
        {value.map(
          ({ id, loss }) =>
            loss.length > 1 && (
              <div key={id}>
                <h3>Loss of {id}</h3>
                <LossCurve points={loss} />
              </div>
            ),
        )}
      </div>
    </section>
  );
}
