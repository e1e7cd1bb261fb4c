/** A change that was made: what it did, and the way back. */
import { finished, type Made, versionOf } from "../model/change.ts";
import { useAction } from "../model/load.ts";
import { useSession } from "../model/session.tsx";
import { Effect } from "./effect.tsx";
import { Notice } from "./notice.tsx";

interface Props {
  readonly made: Made;
  /** Called once the change was taken back. */
  readonly onUndone: (version: number) => void;
}

export function MadeNotice({ made, onUndone }: Props) {
  const { client, store, status } = useSession();
  const undo = useAction(async () => {
    const job = await client.rollback({ name: store }, { to: made.before, ifVersion: made.version });
    onUndone(versionOf(await finished(client, job)));
  });
  const isNewest = status === undefined || status.version <= made.version;
  const { effect, earlier } = made;
  return (
    <Notice kind="done">
      <div class="row">
        <p class="grow">
          <b>{made.what}</b> Version {made.version}.
        </p>
        {isNewest && (
          <button type="button" onClick={() => void undo.run()} disabled={undo.isBusy}>
            {undo.isBusy ? "Undoing…" : "Undo"}
          </button>
        )}
      </div>
      {effect === undefined ? (
        <p class="quiet">Measuring what it did…</p>
      ) : (
        <Effect before={earlier} after={effect.quality} compared={effect.compared} isMade />
      )}
      {undo.error !== undefined && <p class="error-text">{undo.error}</p>}
    </Notice>
  );
}
