/** An answer: the label with its probability, what else it may be, and one click that corrects it. */
import { useState } from "preact/hooks";
import type { Prediction } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { count, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Meter } from "../parts/meter.tsx";

interface Props {
  readonly answer: Prediction;
  readonly classes: readonly string[];
  /** Whether it is the only one: then a correction is made at once. */
  readonly isOne: boolean;
  /** The label that it was corrected to and that is not saved yet. */
  readonly edit: string | undefined;
  readonly isBusy: boolean;
  readonly onCorrect: (label: string) => void;
}

const LIKELY_UNKNOWN = 0.5;

export function AnswerCard({ answer, isOne, edit, ...rest }: Props) {
  const { text, label, score, unknown = 0, top } = answer;
  const shown = label ?? top[0]?.label ?? "";
  const isUnknown = label === null || unknown > LIKELY_UNKNOWN;
  return (
    <article class="card answer">
      <p class="asked">{text}</p>
      <div class="row verdict">
        <p class="label grow">
          {edit === undefined ? (isUnknown && label === null ? "None of the classes" : shown) : edit}
        </p>
        <p class="score">{edit === undefined ? percent(score) : "corrected"}</p>
      </div>
      <Meter value={edit === undefined ? score : 1} />
      {isUnknown && edit === undefined && (
        <p class="hint">It may be none of these classes: {percent(unknown)} unknown.</p>
      )}
      <Facts answer={answer} />
      <Correct answer={answer} shown={edit ?? shown} {...rest} />
      {isOne && <Nearest text={text} />}
    </article>
  );
}

function Facts({
  answer: { set, setCalibrated, task, passes, version, unknown },
}: {
  readonly answer: Prediction;
}) {
  const sets =
    set === undefined || set.length === 0
      ? undefined
      : setCalibrated === false
        ? "too few texts to promise one yet"
        : set.join(", ");
  const facts = [
    ["Set that is right 9 times in 10", sets],
    ["Unknown", unknown === undefined ? undefined : percent(unknown)],
    ["Task", task],
    ["Passes", String(passes)],
    ["Version", version === undefined ? undefined : String(version)],
  ] as const;
  return (
    <dl class="facts">
      {facts.map(([name, value]) =>
        value === undefined ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

interface CorrectProps extends Omit<Props, "isOne" | "edit"> {
  readonly shown: string;
}

function Correct({ answer, classes, shown, isBusy, onCorrect }: CorrectProps) {
  const { canChange } = useSession();
  const [other, setOther] = useState("");
  if (!canChange) return null;
  const likely = answer.top.filter(({ label }) => label !== shown);
  const listId = `classes-${answer.text.length}-${shown}`;
  return (
    <fieldset class="correct">
      <legend class="quiet">Wrong? Choose what is right:</legend>
      <div class="chips">
        {likely.map(({ label, score }) => (
          <button key={label} type="button" class="chip" disabled={isBusy} onClick={() => onCorrect(label)}>
            {label} <span class="quiet">{percent(score)}</span>
          </button>
        ))}
        <form
          class="other"
          onSubmit={(event) => {
            event.preventDefault();
            if (other.trim() === "") return;
            onCorrect(other.trim());
            setOther("");
          }}
        >
          <input
            aria-label="Another class, or a new one"
            placeholder="Another or new class"
            list={listId}
            value={other}
            onInput={({ currentTarget }) => setOther(currentTarget.value)}
          />
          <datalist id={listId}>
            {classes.map((label) => (
              <option key={label} value={label} />
            ))}
          </datalist>
          {other.trim() !== "" && (
            <button type="submit" disabled={isBusy}>
              Correct
            </button>
          )}
        </form>
      </div>
    </fieldset>
  );
}

/** The learned examples that are most like a text, where texts are kept. */
function Nearest({ text }: { readonly text: string }) {
  const { client, info, store, status } = useSession();
  const keeps = info.keeps_texts_days !== undefined;
  const { value } = useLoaded(
    keeps ? (signal) => client.nearest({ name: store }, { text }, { signal }) : undefined,
    [text, keeps, status?.version],
  );
  if (!keeps) return null;
  return (
    <div class="nearest">
      <p class="quiet">{titleOf(value?.texts.length)}</p>
      <ul>
        {value?.texts.map(({ text, label }) => (
          <li key={`${label} ${text}`} title={text}>
            <span class="tag">{label}</span> {text}
          </li>
        ))}
      </ul>
    </div>
  );
}

function titleOf(found: number | undefined): string {
  if (found === undefined) return "Looking for what is like it…";
  return found === 0
    ? "No learned example is kept so far."
    : `Most like these ${count(found, "learned example")}:`;
}
