/** Ask a store that finds entities: they are marked in the text, and what is wrong is marked anew and taught. */
import { useState } from "preact/hooks";
import type { StoreStatus, TaggedText } from "../../client/index.ts";
import { useAction } from "../model/load.ts";
import { count, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import type { Sentence } from "../model/texts.ts";
import { useMade } from "../model/useMade.ts";
import { type Entity, marked, piecesOf, taggedOf, type Word, wordsOf } from "../model/words.ts";
import { MadeNotice } from "../parts/made.tsx";
import { Notice } from "../parts/notice.tsx";
import { type Asked, AskForm } from "./askForm.tsx";

const toEntities = ({ entities }: TaggedText): readonly Entity[] =>
  entities.map(({ entity_group: type, score, start, end }) => ({ type, score, start, end }));

export function WordsScreen({ status }: { readonly status: StoreStatus }) {
  const { client } = useSession();
  const [found, setFound] = useState<readonly TaggedText[]>([]);
  const [asked, setAsked] = useState<Asked>();
  const asking = useAction(async (next: Asked) => {
    const { texts, task, exact } = next;
    const how = { texts, ...(task !== undefined && { task }), ...(exact && { exact }) };
    // Where nothing was taught yet nothing is found, and the first entities are marked.
    const isEmpty = status.classes.length === 0;
    const tagged = isEmpty ? texts.map(bare) : (await client.tag({ name: status.store }, how)).texts;
    setFound(tagged);
    setAsked(next);
  });
  const again = () => asked && void asking.run(asked);
  const making = useMade(again);
  const teach = (example: Sentence) =>
    void making.run((client) => {
      const task = `corrections ${status.version}`;
      return client.learn({ name: status.store }, { task, examples: [example], statisticsOnly: true });
    }, "Learned this sentence.");
  return (
    <>
      <h1>Ask</h1>
      <AskForm
        status={status}
        isBusy={asking.isBusy}
        onAsk={(next) => {
          making.forget();
          void asking.run(next);
        }}
      />
      {asking.error !== undefined && <Notice kind="error">{asking.error}</Notice>}
      <section aria-label="Answers" class="answers" aria-busy={asking.isBusy}>
        {found.map((tagged, i) => (
          <Marked
            key={`${i} ${tagged.text} ${tagged.version}`}
            tagged={tagged}
            status={status}
            isBusy={making.isBusy}
            onTeach={teach}
          />
        ))}
      </section>
      {making.error !== undefined && <Notice kind="error">{making.error}</Notice>}
      {making.made && (
        <MadeNotice
          made={making.made}
          onUndone={() => {
            making.forget();
            again();
          }}
        />
      )}
    </>
  );
}

const bare = (text: string): TaggedText => ({ text, entities: [], passes: 0 });

interface MarkedProps {
  readonly tagged: TaggedText;
  readonly status: StoreStatus;
  readonly isBusy: boolean;
  readonly onTeach: (example: Sentence) => void;
}

function Marked({ tagged, status, isBusy, onTeach }: MarkedProps) {
  const { canChange } = useSession();
  const { text } = tagged;
  const words = wordsOf(text);
  const [entities, setEntities] = useState(() => toEntities(tagged));
  const [chosen, setChosen] = useState<{ readonly from: number; readonly to: number }>();
  const [isEdited, setEdited] = useState(false);
  const choose = (range: readonly number[]) => {
    const [first = 0, last = first] = [range[0], range.at(-1)];
    setChosen((before) =>
      before !== undefined && before.from === before.to && range.length === 1
        ? { from: Math.min(before.from, first), to: Math.max(before.to, last) }
        : { from: first, to: last },
    );
  };
  const mark = (type: string | undefined) => {
    if (chosen === undefined) return;
    setEntities((before) => marked(words, before, chosen.from, chosen.to, type));
    setChosen(undefined);
    setEdited(true);
  };
  return (
    <article class="card">
      <Pieces
        text={text}
        words={words}
        entities={entities}
        chosen={chosen}
        onChoose={canChange ? choose : undefined}
      />
      <dl class="facts">
        <div>
          <dt>Found</dt>
          <dd>{count(entities.length, "entity", "entities")}</dd>
        </div>
        <div>
          <dt>Passes</dt>
          <dd>{tagged.passes}</dd>
        </div>
      </dl>
      {canChange && chosen === undefined && !isEdited && (
        <p class="quiet">Something wrong? Choose a word; choose a second one to take all between them.</p>
      )}
      {chosen && (
        <TypeChoice
          label={words
            .slice(chosen.from, chosen.to + 1)
            .map((word) => word.text)
            .join(" ")}
          types={status.classes}
          onMark={mark}
          onCancel={() => setChosen(undefined)}
        />
      )}
      {isEdited && (
        <div class="buttons">
          <button
            class="primary"
            type="button"
            disabled={isBusy}
            onClick={() => onTeach(taggedOf(words, entities))}
          >
            {isBusy ? "Learning…" : "Teach this sentence"}
          </button>
          <button
            type="button"
            onClick={() => {
              setEntities(toEntities(tagged));
              setEdited(false);
            }}
          >
            Drop the changes
          </button>
        </div>
      )}
    </article>
  );
}

interface PiecesProps {
  readonly text: string;
  readonly words: readonly Word[];
  readonly entities: readonly Entity[];
  readonly chosen: { readonly from: number; readonly to: number } | undefined;
  readonly onChoose: ((words: readonly number[]) => void) | undefined;
}

/** Every word is a button where it can be corrected; entities are marked, with their type behind them. */
function Pieces({ text, words, entities, chosen, onChoose }: PiecesProps) {
  const isChosen = (own: readonly number[]) =>
    chosen !== undefined && own.some((word) => word >= chosen.from && word <= chosen.to);
  return (
    <p class="marked">
      {piecesOf(text, words, entities).map(({ before, text, entity, words: own }) => {
        const inner = (
          <>
            {text}
            {entity && (
              <span class="type">
                {entity.type}
                {entity.score !== undefined && <span class="hidden"> {percent(entity.score)}</span>}
              </span>
            )}
          </>
        );
        const shown = entity ? <mark>{inner}</mark> : inner;
        return (
          <span key={own[0]}>
            {before}
            {onChoose === undefined ? (
              shown
            ) : (
              <button type="button" class="word" aria-pressed={isChosen(own)} onClick={() => onChoose(own)}>
                {shown}
              </button>
            )}
          </span>
        );
      })}
    </p>
  );
}

interface TypeProps {
  readonly label: string;
  readonly types: readonly string[];
  readonly onMark: (type: string | undefined) => void;
  readonly onCancel: () => void;
}

function TypeChoice({ label, types, onMark, onCancel }: TypeProps) {
  const [other, setOther] = useState("");
  return (
    <fieldset class="correct">
      <legend>
        <b>{label}</b> is:
      </legend>
      <div class="chips">
        {types.map((type) => (
          <button key={type} type="button" class="chip" onClick={() => onMark(type)}>
            {type}
          </button>
        ))}
        <button type="button" class="chip" onClick={() => onMark(undefined)}>
          no entity
        </button>
        <form
          class="other"
          onSubmit={(event) => {
            event.preventDefault();
            if (other.trim() !== "") onMark(other.trim());
          }}
        >
          <input
            aria-label="A new type"
            placeholder="New type"
            value={other}
            onInput={({ currentTarget }) => setOther(currentTarget.value)}
          />
          {other.trim() !== "" && <button type="submit">Mark</button>}
        </form>
        <button type="button" class="plain-button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </fieldset>
  );
}
