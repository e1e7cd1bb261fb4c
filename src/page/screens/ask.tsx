/** Ask: a text in, its answer out, and a wrong one corrected. Several texts are corrected together, as one change. */
import { useState } from "preact/hooks";
import type { Prediction, StoreStatus } from "../../client/index.ts";
import { useAction } from "../model/load.ts";
import { count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { useMade } from "../model/useMade.ts";
import { MadeNotice } from "../parts/made.tsx";
import { Notice } from "../parts/notice.tsx";
import { AnswerCard } from "./answer.tsx";
import { type Asked, AskForm } from "./askForm.tsx";
import { Corrections } from "./corrections.tsx";
import { FreeAnswer } from "./freeAnswer.tsx";

/** With which probability a set of labels is to hold the right one. */
const COVERAGE = 0.9;

/** Answers with sets of labels where the store can give some, else without. */
export function useAsk() {
  const { client, store } = useSession();
  return async (texts: readonly string[], { task, exact }: Omit<Asked, "texts">) => {
    const how = { texts, ...(task !== undefined && { task }), ...(exact && { exact }) };
    const where = { name: store };
    if (task === undefined && !exact)
      try {
        return (await client.predict(where, { ...how, coverage: COVERAGE })).predictions;
      } catch (error) {
        const isRefused =
          error instanceof Error && "status" in error && (error.status === 422 || error.status === 409);
        if (!isRefused) throw error;
      }
    return (await client.predict(where, how)).predictions;
  };
}

export function AskScreen({ status }: { readonly status: StoreStatus }) {
  const ask = useAsk();
  const [asked, setAsked] = useState<Asked>();
  const [answers, setAnswers] = useState<readonly Prediction[]>([]);
  const [edits, setEdits] = useState<ReadonlyMap<string, string>>(new Map());
  const asking = useAction(async (next: Asked) => {
    setAnswers(await ask(next.texts, next));
    setAsked(next);
    setEdits(new Map());
  });
  const again = () => asked && void asking.run(asked);
  const making = useMade(again);
  if (status.classes.length === 0)
    return (
      <>
        <h1>Ask</h1>
        <p>Nothing was taught yet, so there is nothing to answer with.</p>
        <p>
          <a class="button primary" href="#/teach">
            Teach the first classes
          </a>
        </p>
      </>
    );
  const isOne = answers.length === 1;
  const correct = (text: string, label: string) => {
    if (!isOne) return setEdits((before) => new Map(before).set(text, label));
    const change = (client: ReturnType<typeof useSession>["client"]) =>
      client.correct({ name: status.store }, { corrections: [{ text, label }] });
    void making.run(change, `Corrected: this is ${label}.`);
  };
  return (
    <>
      <h1>Ask</h1>
      <AskForm
        status={status}
        isBusy={asking.isBusy}
        onAsk={(texts) => {
          making.forget();
          void asking.run(texts);
        }}
      />
      {asking.error !== undefined && <Notice kind="error">{asking.error}</Notice>}
      {making.error !== undefined && <Notice kind="error">{making.error}</Notice>}
      <section aria-label="Answers" aria-busy={asking.isBusy} class="answers">
        {answers.map((answer, i) => (
          <AnswerCard
            key={`${i} ${answer.text}`}
            answer={answer}
            classes={status.classes}
            isOne={isOne}
            edit={edits.get(answer.text)}
            isBusy={making.isBusy}
            onCorrect={(label) => correct(answer.text, label)}
          />
        ))}
        {isOne && status.prompt !== undefined && answers[0] !== undefined && (
          <FreeAnswer text={answers[0].text} prompt={status.prompt} key={answers[0].text} />
        )}
      </section>
      {making.made && (
        <MadeNotice
          made={making.made}
          onUndone={() => {
            making.forget();
            again();
          }}
        />
      )}
      {edits.size > 0 && (
        <Corrections
          edits={edits}
          isBusy={making.isBusy}
          onClear={() => setEdits(new Map())}
          onSave={(corrections) =>
            void making.run(
              (client) => client.correct({ name: status.store }, { corrections }),
              `Corrected ${count(corrections.length, "text")}.`,
            )
          }
        />
      )}
    </>
  );
}
