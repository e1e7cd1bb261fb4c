/** Corrections that are gathered: what they would do, and one click that makes them one change. */
import { useMemo } from "preact/hooks";
import { useLoaded } from "../model/load.ts";
import { count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Effect } from "../parts/effect.tsx";

interface Props {
  readonly edits: ReadonlyMap<string, string>;
  readonly isBusy: boolean;
  readonly onSave: (corrections: readonly { readonly text: string; readonly label: string }[]) => void;
  readonly onClear: () => void;
}

export function Corrections({ edits, isBusy, onSave, onClear }: Props) {
  const corrections = useMemo(() => [...edits].map(([text, label]) => ({ text, label })), [edits]);
  return (
    <section class="card tray" aria-label="Corrections">
      <h2>{count(corrections.length, "correction")}, one change</h2>
      <div class="buttons">
        <button class="primary" type="button" disabled={isBusy} onClick={() => onSave(corrections)}>
          {isBusy ? "Saving…" : `Save ${count(corrections.length, "correction")}`}
        </button>
        <button type="button" disabled={isBusy} onClick={onClear}>
          Drop them
        </button>
      </div>
      <WhatItWouldDo corrections={corrections} />
    </section>
  );
}

/** Of more texts the measuring takes longer than anybody waits. */
const MOST_MEASURED = 2000;

/** What a change would do to held-out texts, measured without making it. */
export function WhatItWouldDo({
  corrections,
}: {
  readonly corrections: readonly { readonly text: string; readonly label: string }[];
}) {
  const { client, store, status } = useSession();
  const { value, error, isLoading } = useLoaded(
    corrections.length === 0 || corrections.length > MOST_MEASURED
      ? undefined
      : (signal) => client.preview({ name: store }, { corrections }, { signal }),
    [corrections, status?.version],
  );
  if (corrections.length > MOST_MEASURED)
    return <p class="quiet">Of so many texts what they do is measured once they are taught.</p>;
  return (
    <div class="preview" role="status" aria-busy={isLoading}>
      {error !== undefined && <p class="error-text">{error}</p>}
      {value === undefined && error === undefined && <p class="quiet">Measuring what this would do…</p>}
      {value !== undefined && (
        <Effect before={value.before} after={value.after} compared={value.compared} isMade={false} />
      )}
    </div>
  );
}
