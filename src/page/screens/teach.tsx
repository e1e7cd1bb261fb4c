/** Teach: classes from pasted lines or dropped files, several of them as one change, with what it does before and after. */
import { useMemo, useState } from "preact/hooks";
import type { StoreStatus } from "../../client/index.ts";
import { AccreteError } from "../../core/errors.ts";
import { count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { byClass, type Example, linesOf, type Sentence } from "../model/texts.ts";
import { useMade } from "../model/useMade.ts";
import { FileDrop } from "../parts/fileDrop.tsx";
import { MadeNotice } from "../parts/made.tsx";
import { Notice } from "../parts/notice.tsx";
import { WhatItWouldDo } from "./corrections.tsx";

/** Examples that a class should have at least before it can be judged. */
const FEW = 3;

export function TeachScreen({ status }: { readonly status: StoreStatus }) {
  const { canChange } = useSession();
  if (!canChange)
    return (
      <>
        <h1>Teach</h1>
        <Notice kind="info">This server only answers. Nothing can be taught here.</Notice>
      </>
    );
  return status.level === "word" ? <TeachWords status={status} /> : <TeachClasses status={status} />;
}

function TeachClasses({ status }: { readonly status: StoreStatus }) {
  const [label, setLabel] = useState("");
  const [typed, setTyped] = useState("");
  const [draft, setDraft] = useState<readonly Example[]>([]);
  const [note, setNote] = useState<string>();
  const making = useMade(() => {
    setDraft([]);
    setLabel("");
    setTyped("");
    setNote(undefined);
  });
  const lines = linesOf(typed);
  const isFull = label.trim() !== "" && lines.length > 0;
  const written = isFull ? lines.map((text) => ({ text, label: label.trim() })) : [];
  const add = () => {
    if (!isFull) return;
    setDraft((before) => [...before, ...written]);
    setLabel("");
    setTyped("");
    document.getElementById("class-name")?.focus();
  };
  const teach = () => {
    const classes = byClass([...draft, ...written]);
    const corrections = [...classes].flatMap(([label, texts]) => texts.map((text) => ({ text, label })));
    const names = [...classes.keys()];
    const what = names.length > 3 ? count(names.length, "class", "classes") : names.join(", ");
    void making.run((client) => client.correct({ name: status.store }, { corrections }), `Learned ${what}.`);
  };
  return (
    <>
      <h1>Teach</h1>
      <p class="lead">
        Give a class a name and a few examples. Five are a good start, two the least that can be judged.
      </p>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          add();
        }}
      >
        <label for="class-name">Class</label>
        <input
          id="class-name"
          list="known-classes"
          value={label}
          autocomplete="off"
          placeholder="for example: book_flight"
          onInput={({ currentTarget }) => setLabel(currentTarget.value)}
        />
        <datalist id="known-classes">
          {status.classes.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <label for="examples">Examples, one a line</label>
        <FileDrop
          onFile={(name, { texts, examples, unread }) => {
            if (texts.length > 0) setTyped((before) => [before, ...texts].filter(Boolean).join("\n"));
            if (examples.length > 0) setDraft((before) => [...before, ...examples]);
            const found = count(texts.length + examples.length, "text");
            setNote(`${name}: ${found}${unread > 0 ? `, ${count(unread, "line")} could not be read` : ""}.`);
          }}
        >
          <textarea
            id="examples"
            rows={6}
            value={typed}
            placeholder="Paste examples, or drop a file: .txt, .csv or .jsonl"
            onInput={({ currentTarget }) => setTyped(currentTarget.value)}
          />
        </FileDrop>
        <p class="quiet" role="status">
          {note ?? (lines.length === 0 ? " " : count(lines.length, "example"))}
        </p>
        <div class="buttons">
          <button type="submit" disabled={!isFull}>
            Add another class
          </button>
          {draft.length === 0 && (
            <button class="primary" type="button" disabled={!isFull || making.isBusy} onClick={teach}>
              {making.isBusy ? "Learning…" : "Teach"}
            </button>
          )}
        </div>
      </form>
      {draft.length > 0 && (
        <Draft
          draft={draft}
          written={written}
          isBusy={making.isBusy}
          onRemove={(name) => setDraft((before) => before.filter((each) => each.label !== name))}
          onTeach={teach}
        />
      )}
      {making.error !== undefined && <Notice kind="error">{making.error}</Notice>}
      {making.made && (
        <MadeNotice
          made={making.made}
          onUndone={() => making.forget()}
          next={
            <a class="button" href="#/ask">
              Try it
            </a>
          }
        />
      )}
    </>
  );
}

interface DraftProps {
  readonly draft: readonly Example[];
  /** What stands in the form and is taught along. */
  readonly written: readonly Example[];
  readonly isBusy: boolean;
  readonly onRemove: (label: string) => void;
  readonly onTeach: () => void;
}

function Draft({ draft, written, isBusy, onRemove, onTeach }: DraftProps) {
  const classes = byClass(draft);
  const all = byClass([...draft, ...written]);
  const corrections = useMemo(
    () => [...byClass(draft)].flatMap(([label, texts]) => texts.map((text) => ({ text, label }))),
    [draft],
  );
  return (
    <section class="card tray" aria-label="Ready to be taught">
      <h2>Ready, as one change</h2>
      <ul class="plain">
        {[...classes].map(([label, texts]) => (
          <li key={label} class="row">
            <span class="grow">
              <b>{label}</b>, {count(texts.length, "example")}
              {texts.length < FEW && <span class="quiet"> – a few more would help</span>}
            </span>
            <button
              type="button"
              class="plain-button"
              onClick={() => onRemove(label)}
              aria-label={`Remove ${label}`}
            >
              Remove
            </button>
          </li>
        ))}
      </ul>
      <div class="buttons">
        <button class="primary" type="button" disabled={isBusy} onClick={onTeach}>
          {isBusy ? "Learning…" : `Teach ${count(all.size, "class", "classes")}`}
        </button>
      </div>
      <WhatItWouldDo corrections={corrections} />
    </section>
  );
}

/** Tagged sentences come as files; single sentences are marked where they are asked. */
function TeachWords({ status }: { readonly status: StoreStatus }) {
  const [sentences, setSentences] = useState<readonly Sentence[]>([]);
  const [name, setName] = useState("");
  const [note, setNote] = useState<string>();
  const making = useMade(() => setSentences([]));
  const teach = () =>
    void making.run(
      (client) => {
        if (sentences.length === 0) throw new AccreteError("EMPTY", "there is no sentence to learn from");
        const task = { task: name.trim(), examples: sentences, statisticsOnly: true };
        return client.learn({ name: status.store }, task);
      },
      `Learned ${count(sentences.length, "sentence")}.`,
    );
  return (
    <>
      <h1>Teach</h1>
      <p class="lead">
        Drop a file of sentences with a tag for every word. To teach a single sentence, ask it and mark its
        words there.
      </p>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          teach();
        }}
      >
        <label for="task-name">Name of the lesson</label>
        <input
          id="task-name"
          value={name}
          autocomplete="off"
          placeholder="for example: people"
          onInput={({ currentTarget }) => setName(currentTarget.value)}
        />
        <FileDrop
          onFile={(file, dropped) => {
            setSentences(dropped.sentences);
            setNote(`${file}: ${count(dropped.sentences.length, "tagged sentence")}.`);
          }}
        >
          <p class="drop-hint">
            Drop a .jsonl file here: one <code>{'{"words": […], "tags": […]}'}</code> a line.
          </p>
        </FileDrop>
        <p class="quiet" role="status">
          {note ?? " "}
        </p>
        <button
          class="primary"
          type="submit"
          disabled={name.trim() === "" || sentences.length === 0 || making.isBusy}
        >
          {making.isBusy ? "Learning…" : "Teach"}
        </button>
      </form>
      {making.error !== undefined && <Notice kind="error">{making.error}</Notice>}
      {making.made && <MadeNotice made={making.made} onUndone={() => making.forget()} />}
    </>
  );
}
