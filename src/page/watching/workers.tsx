/** Workers of a queue: who does what, how fast, and what waits. */
import { useEffect } from "preact/hooks";
import type { Queue, Work, Worker } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { count, duration } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Notice } from "../parts/notice.tsx";

const LOOK_MS = 3000;

export function WorkersScreen() {
  const { client } = useSession();
  const queue = useLoaded((signal) => client.workers({ signal }), []);
  useEffect(() => {
    const timer = setInterval(queue.reload, LOOK_MS);
    return () => clearInterval(timer);
  }, [queue.reload]);
  const { value, error } = queue;
  return (
    <>
      <h1>Workers</h1>
      {error !== undefined && <Notice kind="error">{error}</Notice>}
      {value === undefined && error === undefined && <p class="quiet">Loading…</p>}
      {value !== undefined && error === undefined && <Found queue={value} />}
    </>
  );
}

function Found({ queue: { workers, jobs, place } }: { readonly queue: Queue }) {
  const dead = workers.filter((worker) => worker.dead).length;
  const { waiting = 0, delayed = 0, active = 0, failed = 0, completed = 0 } = jobs;
  const figures = [
    ["Workers", workers.length - dead],
    ["Dead workers", dead],
    ["Jobs waiting", waiting + delayed + (jobs["waiting-children"] ?? 0)],
    ["At work", active],
    ["Done", completed],
    ["Failed", failed],
  ] as const;
  return (
    <>
      <section class="card">
        <h2>{place}</h2>
        <dl class="figures run">
          {figures.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd class="small">{value}</dd>
            </div>
          ))}
        </dl>
      </section>
      {workers.length === 0 ? (
        <p>There is none yet. A worker shows up here as soon as it has begun: accrete worker --queue …</p>
      ) : (
        <WorkerTable workers={workers} />
      )}
    </>
  );
}

function stateOf({ dead, waits, work }: Worker): "dead" | "waits" | "at work" | "idle" {
  if (dead) return "dead";
  if (waits !== undefined) return "waits";
  return work.length > 0 ? "at work" : "idle";
}

const looks = { dead: "stopped", waits: "stopped", "at work": "running", idle: "" } as const;

function WorkerTable({ workers }: { readonly workers: readonly Worker[] }) {
  return (
    <section class="card">
      <table class="cards workers">
        <thead>
          <tr>
            <th scope="col">Worker</th>
            <th scope="col">State</th>
            <th scope="col">Work</th>
            <th scope="col" class="number">
              Done
            </th>
            <th scope="col" class="number">
              Failed
            </th>
            <th scope="col" class="number">
              Heard of
            </th>
          </tr>
        </thead>
        <tbody>
          {workers.map((worker) => (
            <WorkerRow key={worker.name} worker={worker} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function WorkerRow({ worker }: { readonly worker: Worker }) {
  const { name, version, work, concurrency, waits, done, failed, silentSeconds } = worker;
  const state = stateOf(worker);
  return (
    <tr>
      <th scope="row">
        {name}
        <p class="quiet">
          Accrete {version}, {count(concurrency, "trial")} at once
        </p>
      </th>
      <td data-name="State">
        <span class={`tag ${looks[state]}`}>{state}</span>
      </td>
      <td data-name="Work">
        <div>
          {waits}
          {work.map((each) => (
            <p key={`${each.sweep} ${each.trial}`}>{sayWork(each)}</p>
          ))}
          {waits === undefined && work.length === 0 && "–"}
        </div>
      </td>
      <td class="number" data-name="Done">
        {done}
      </td>
      <td class="number" data-name="Failed">
        {failed}
      </td>
      <td class="number" data-name="Heard of">
        {silentSeconds < 5 ? "just now" : `${duration(silentSeconds)} ago`}
      </td>
    </tr>
  );
}

function sayWork({ sweep, trial, evaluated, tasks, examplesPerSecond, secondsLeft }: Work): string {
  return [
    `${sweep} ${trial}`,
    tasks === undefined ? undefined : `${evaluated} of ${count(tasks, "task")}`,
    examplesPerSecond === undefined ? undefined : `${examplesPerSecond.toFixed(0)} texts a second`,
    secondsLeft === undefined ? undefined : `${duration(secondsLeft)} left`,
  ]
    .filter((part) => part !== undefined)
    .join(", ");
}
