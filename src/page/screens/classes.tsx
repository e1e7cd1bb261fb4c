/** See: the classes with what is kept of them, what gets mixed up, how sure answers are, and what was unknown. */
import { useState } from "preact/hooks";
import type { Classes, Quality, StoreStatus } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { ago, bytes, count, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { pairsOf } from "../parts/effect.tsx";
import { Meter } from "../parts/meter.tsx";
import { Notice } from "../parts/notice.tsx";
import { Calibration } from "./calibration.tsx";
import { Forget } from "./forget.tsx";
import { OverVersions } from "./overVersions.tsx";
import { UnknownTexts } from "./unknownTexts.tsx";

export type ClassRow = Classes["classes"][number];

export function ClassesScreen({ status }: { readonly status: StoreStatus }) {
  const { client, info, store, canChange } = useSession();
  const [leaving, setLeaving] = useState<ClassRow>();
  const [said, setSaid] = useState<string>();
  const classes = useLoaded((signal) => client.classes({ name: store }, { signal }), [store, status.version]);
  const judged = useLoaded((signal) => client.quality({ name: store }, { signal }), [store, status.version]);
  const keeps = info.keeps_texts_days !== undefined;
  const groups = useLoaded(keeps ? (signal) => client.keptGroups({ name: store }, { signal }) : undefined, [
    store,
    status.version,
    keeps,
  ]);
  const quality = judged.value?.quality;
  // What comes later comes below, so that nothing moves.
  const isShown =
    classes.value !== undefined && (!keeps || groups.value !== undefined || groups.error !== undefined);
  if (status.classes.length === 0)
    return (
      <>
        <h1>Classes</h1>
        {said !== undefined && <Notice kind="done">{said}</Notice>}
        <p>There are none yet.</p>
        <p>
          <a class="button primary" href="#/teach">
            Teach the first classes
          </a>
        </p>
        {keeps && <UnknownTexts classes={[]} groups={groups} />}
      </>
    );
  return (
    <>
      <h1>Classes</h1>
      {said !== undefined && <Notice kind="done">{said}</Notice>}
      {classes.error !== undefined && <Notice kind="error">{classes.error}</Notice>}
      {!isShown && classes.error === undefined && <p class="quiet">Loading…</p>}
      {isShown && classes.value && (
        <ClassTable
          described={classes.value}
          isWords={status.level === "word"}
          quality={quality}
          {...(canChange && { onForget: setLeaving })}
        />
      )}
      {isShown && keeps && <UnknownTexts classes={status.classes} groups={groups} />}
      {isShown && !keeps && (
        <p class="quiet">
          Texts that are unknown are not kept. With <code>accrete serve --keep-texts 30</code> they are shown
          here, grouped, for thirty days.
        </p>
      )}
      {judged.error !== undefined && <Notice kind="error">{judged.error}</Notice>}
      {isShown && judged.value && quality === undefined && (
        <p class="quiet">How well the classes are told apart cannot be measured for this store.</p>
      )}
      {isShown && quality && <MixedUp quality={quality} />}
      {isShown && quality && <Calibration quality={quality} />}
      {isShown && quality && <OverVersions status={status} />}
      {leaving && classes.value && (
        <Forget
          row={leaving}
          tasks={classes.value.tasks}
          onClose={() => setLeaving(undefined)}
          onDone={(what) => {
            setLeaving(undefined);
            setSaid(what);
          }}
        />
      )}
    </>
  );
}

interface TableProps {
  readonly described: Classes;
  readonly isWords: boolean;
  readonly quality: Quality | undefined;
  readonly onForget?: (row: ClassRow) => void;
}

function ClassTable({ described, isWords, quality, onForget }: TableProps) {
  const size = described.classes.length;
  const known = isWords ? count(size, "entity type") : count(size, "class", "classes");
  const [wanted, setWanted] = useState("");
  const shown = described.classes.filter(({ label }) => label.toLowerCase().includes(wanted.toLowerCase()));
  const used = described.classes.reduce((sum, { answers }) => sum + answers, 0);
  const byLabel = new Map(quality?.classes.map((each) => [each.label, each]));
  return (
    <section class="card">
      <p class="quiet">
        {known}, {bytes(described.statisticsBytes)} kept of their texts; named {count(used, "time")} since the
        server was started. Accuracy is of its own texts, each held out once.
      </p>
      {described.classes.length > 12 && (
        <input
          type="search"
          aria-label="Find a class"
          placeholder="Find a class"
          value={wanted}
          onInput={({ currentTarget }) => setWanted(currentTarget.value)}
        />
      )}
      <table class="cards">
        <thead>
          <tr>
            <th scope="col">Class</th>
            <th scope="col" class="number">
              Texts
            </th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Used</th>
            <th scope="col">Accuracy</th>
            {onForget && (
              <th scope="col">
                <span class="hidden">Forget</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={row.label}>
              <th scope="row">{row.label}</th>
              <td class="number" data-name="Texts">
                {row.rows.toLocaleString("en")}
              </td>
              <td class="number" data-name="Size">
                {bytes(row.statisticsBytes)}
              </td>
              <td data-name="Used">
                {row.answers === 0 ? "not yet" : `${count(row.answers, "time")}, ${ago(row.lastAnswered)}`}
              </td>
              <td data-name="Accuracy">
                <Share of={byLabel.get(row.label)} />
              </td>
              {onForget && (
                <td class="act">
                  <button
                    type="button"
                    class="plain-button"
                    aria-label={`Forget ${row.label}`}
                    onClick={() => onForget(row)}
                  >
                    Forget
                  </button>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Share({ of }: { readonly of: { readonly judged: number; readonly right: number } | undefined }) {
  if (of === undefined) return <span class="share quiet">–</span>;
  return (
    <span class="share">
      <Meter value={of.right / of.judged} />
      {percent(of.right / of.judged)} <span class="quiet">of {of.judged}</span>
    </span>
  );
}

function MixedUp({ quality }: { readonly quality: Quality }) {
  const pairs = pairsOf(quality);
  return (
    <section class="card">
      <h2>Mixed up</h2>
      {pairs.length === 0 ? (
        <p>Nothing: each of {count(quality.judged, "held-out text")} got its own class.</p>
      ) : (
        <>
          <p class="quiet">
            {count(quality.judged - quality.right, "text")} of {quality.judged} held out got another class.
            More examples of both help.
          </p>
          <ul class="plain">
            {pairs.slice(0, 8).map(({ pair: [a, b], texts }) => (
              <li key={`${a} ${b}`} class="row">
                <span class="grow">
                  <b>{a}</b> and <b>{b}</b>
                </span>
                <span>{count(texts, "text")}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
