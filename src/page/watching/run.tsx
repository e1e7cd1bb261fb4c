/** A run as it goes on: how far it is, its loss, its accuracies as they come, and what happened. */
import { useState } from "preact/hooks";
import type { RunView } from "../../client/index.ts";
import { duration, percent } from "../model/say.ts";
import { useEvents, useSession } from "../model/session.tsx";
import { LossCurve } from "../parts/lossCurve.tsx";
import { Matrix } from "../parts/matrix.tsx";
import { Meter } from "../parts/meter.tsx";
import { Notice } from "../parts/notice.tsx";

export function RunDetail({ id }: { readonly id: string }) {
  const { client, fail } = useSession();
  const [view, setView] = useState<RunView>();
  const [isLost, setLost] = useState(false);
  const [error, setError] = useState<string>();
  useEvents(
    (signal) => client.runEvents({ id }, { signal }),
    (data) => setView(JSON.parse(data)),
    (state) => {
      setLost(state === "lost");
      if (typeof state === "object") setError(fail(state.error));
    },
    [client, id],
  );
  return (
    <>
      <p>
        <a href="#/runs">All runs</a>
      </p>
      <h1>{id}</h1>
      {error !== undefined && <Notice kind="error">{error}</Notice>}
      {isLost && view?.state === "running" && (
        <Notice kind="warning">The connection to the server is lost. Trying again…</Notice>
      )}
      {view === undefined && error === undefined && <p class="quiet">Loading…</p>}
      {view && <View view={view} />}
    </>
  );
}

function View({ view }: { readonly view: RunView }) {
  const { level, matrix, taskNames, loss, log } = view;
  return (
    <>
      <Now view={view} />
      {loss.length > 1 && (
        <section class="card">
          <h2>Loss</h2>
          <LossCurve points={loss} />
        </section>
      )}
      <section class="card">
        <h2>{level === "word" ? "F1" : "Accuracy"} after each task</h2>
        <Matrix names={taskNames} rows={matrix} />
      </section>
      <section class="card">
        <h2>What happened</h2>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
        <div class="log" tabIndex={0} role="log" aria-label="What happened">
          {log.map(({ time, message }) => (
            <p key={`${time} ${message}`}>
              <time dateTime={time}>{new Date(time).toLocaleTimeString("en")}</time> {message}
            </p>
          ))}
        </div>
      </section>
    </>
  );
}

function Now({
  view: { state, tasks, tasksDone, now, accuracy, forgetting, trainSeconds },
}: {
  readonly view: RunView;
}) {
  const inTask = now === undefined ? 0 : now.step / Math.max(1, now.totalSteps);
  const share = Math.min(1, (tasksDone + (state === "running" ? inTask : 0)) / Math.max(1, tasks));
  const figures = [
    ["State", state],
    ["Tasks", `${tasksDone} of ${tasks}`],
    ["Time left", now === undefined ? undefined : duration(now.secondsLeft)],
    ["Loss", now?.loss.toFixed(3)],
    ["Learning rate", now === undefined ? undefined : now.learningRate.toPrecision(2)],
    ["Texts a second", now === undefined ? undefined : now.examplesPerSecond.toFixed(0)],
    ["Mean over tasks", accuracy === undefined ? undefined : percent(accuracy)],
    ["Forgotten", forgetting === undefined ? undefined : percent(forgetting)],
    ["Learning took", trainSeconds === undefined ? undefined : duration(trainSeconds)],
  ] as const;
  return (
    <section class="card">
      <h2>{now === undefined ? "How it stands" : `Learning ${now.task}`}</h2>
      <p class="hidden" role="status">
        {state}, {tasksDone} of {tasks} tasks
      </p>
      <Meter value={share} />
      <dl class="figures run">
        {figures.map(([name, value]) =>
          value === undefined ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd class="small">{value}</dd>
            </div>
          ),
        )}
      </dl>
    </section>
  );
}
