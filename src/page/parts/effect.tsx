/** What a change does to texts that are held out: how many are right before and after, and what is mixed up then. */
import type { Compared, Quality } from "../../client/index.ts";
import { count, percent } from "../model/say.ts";

interface Props {
  readonly before: Quality | undefined;
  readonly after: Quality | undefined;
  readonly compared: Compared | undefined;
  /** Whether the change was made. */
  readonly isMade: boolean;
}

const shareOf = ({ right, judged }: Pick<Quality, "right" | "judged">) =>
  judged === 0 ? "–" : percent(right / judged);

/** The pairs of classes that are taken for each other, both ways together. */
export function pairsOf({
  confused,
}: Quality): readonly { readonly pair: readonly [string, string]; readonly texts: number }[] {
  const pairs = new Map<string, { pair: readonly [string, string]; texts: number }>();
  for (const { label, answer, texts } of confused) {
    const pair = label < answer ? ([label, answer] as const) : ([answer, label] as const);
    const key = JSON.stringify(pair);
    pairs.set(key, { pair, texts: (pairs.get(key)?.texts ?? 0) + texts });
  }
  return [...pairs.values()].sort((a, b) => b.texts - a.texts);
}

const MOST_PAIRS = 4;

export function Effect({ before, after, compared, isMade }: Props) {
  if (after === undefined)
    return <p class="quiet">How well this works is measured once a class has two texts or more.</p>;
  const pairs = pairsOf(after).slice(0, MOST_PAIRS);
  const known = compared !== undefined && compared.judged > 0 ? compared : undefined;
  return (
    <div class="effect">
      <dl class="figures">
        <div>
          <dt>Held-out texts right before</dt>
          <dd>{before === undefined ? "–" : shareOf(before)}</dd>
        </div>
        <div>
          <dt>{isMade ? "Right now" : "Right after"}</dt>
          <dd>{shareOf(after)}</dd>
        </div>
        {known && (
          <div>
            <dt>Texts it knew already</dt>
            <dd class="small">
              {percent(known.rightBefore / known.judged)} → {percent(known.rightAfter / known.judged)}
            </dd>
          </div>
        )}
      </dl>
      <p>
        {pairs.length === 0
          ? `Nothing is mixed up among ${count(after.judged, "held-out text")}.`
          : `Mixed up ${isMade ? "now" : "then"}: `}
        {pairs.map(({ pair: [a, b], texts }, i) => (
          <span key={`${a} ${b}`}>
            {i > 0 && ", "}
            <b>{a}</b> and <b>{b}</b> ({count(texts, "text")})
          </span>
        ))}
        {pairs.length > 0 && "."}
      </p>
    </div>
  );
}
