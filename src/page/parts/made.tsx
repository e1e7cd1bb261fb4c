/** A change that was made: what it did, and the way back. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { finished, type Made, versionOf } from "../model/change.ts";
import { useAction } from "../model/load.ts";
import { useSession } from "../model/session.tsx";
import { Effect } from "./effect.tsx";
import { Notice } from "./notice.tsx";

interface Props {
  readonly made: Made;
  /** Called once the change was taken back. */
  readonly onUndone: (version: number) => void;
  /** What to do next. */
  readonly next?: ComponentChildren;
}

export function MadeNotice({ made, onUndone, next }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => place.current?.scrollIntoView({ block: "nearest" }), [made.version]);
  const { client, store, status } = useSession();
  const undo = useAction(async () => {
    const job = await client.rollback({ name: store }, { to: made.before, ifVersion: made.version });
    onUndone(versionOf(await finished(client, job)));
  });
  const isNewest = status === undefined || status.version <= made.version;
  const { effect, earlier, isUnmeasured = false } = made;
  return (
    <Notice kind="done">
      <div ref={place} class="row">
        <p class="grow">
          <b>{made.what}</b> Version {made.version}.
        </p>
        {next}
        {isNewest && (
          <button type="button" onClick={() => void undo.run()} disabled={undo.isBusy}>
            {undo.isBusy ? "Undoing…" : "Undo"}
          </button>
        )}
      </div>
      {status?.level !== "word" && (
        <div class="preview">
          {isUnmeasured ? (
            <p class="quiet">The change is made. What it did could not be measured.</p>
          ) : effect === undefined ? (
            <p class="quiet">Measuring what it did…</p>
          ) : (
            <Effect before={earlier} after={effect.quality} compared={effect.compared} isMade />
          )}
        </div>
      )}
      {undo.error !== undefined && <p class="error-text">{undo.error}</p>}
    </Notice>
  );
}
