/** Forgets a class, with everything that goes spelled out before. */
import { useState } from "preact/hooks";
import type { Classes } from "../../client/index.ts";
import { finished, versionOf } from "../model/change.ts";
import { useAction, useLoaded } from "../model/load.ts";
import { bytes, count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Dialog } from "../parts/dialog.tsx";

interface Props {
  readonly row: Classes["classes"][number];
  readonly tasks: Classes["tasks"];
  readonly onClose: () => void;
  readonly onDone: (what: string) => void;
}

export function Forget({ row: { label, rows, statisticsBytes, tasks: own }, tasks, onClose, onDone }: Props) {
  const { client, info, store, status } = useSession();
  const [isForGood, setForGood] = useState(false);
  const earlier = useLoaded((signal) => client.versions({ name: store }, { signal }), [store]);
  const kept = (earlier.value?.versions ?? []).length - 1;
  const adapters = tasks.filter(({ name, kind }) => own.includes(name) && kind === "adapter");
  const forgetting = useAction(async () => {
    const asked = { class: label, purge: isForGood, ...(status && { ifVersion: status.version }) };
    const job = await finished(client, await client.forget({ name: store }, asked));
    const back = isForGood ? "It is gone for good." : "History can bring it back.";
    onDone(`${label} is forgotten. ${back} Version ${versionOf(job)}.`);
  });
  return (
    <Dialog
      title={`Forget ${label}?`}
      action={isForGood ? "Forget for good" : "Forget"}
      isDangerous
      isBusy={forgetting.isBusy}
      error={forgetting.error}
      onConfirm={() => void forgetting.run()}
      onClose={onClose}
    >
      <p>This deletes:</p>
      <ul>
        <li>the class, so that nothing is answered with it any more</li>
        <li>
          what is kept of its {count(rows, "text")} ({bytes(statisticsBytes)})
        </li>
        {isForGood && kept > 0 && (
          <li>
            <b>{count(kept, "earlier version")}</b>, so that there is no way back
          </li>
        )}
        {isForGood && info.keeps_texts_days !== undefined && <li>its examples that are kept for review</li>}
      </ul>
      {adapters.length > 0 && (
        <p>
          {count(adapters.length, "adapter")} saw it in training and{" "}
          {adapters.length === 1 ? "stays" : "stay"}: {adapters.map(({ name }) => name).join(", ")}.
        </p>
      )}
      {!isForGood && kept > 0 && (
        <p class="quiet">Earlier versions still hold it: History can bring it back.</p>
      )}
      <label class="check">
        <input
          type="checkbox"
          checked={isForGood}
          onChange={({ currentTarget }) => setForGood(currentTarget.checked)}
        />
        Delete earlier versions too. This cannot be undone.
      </label>
    </Dialog>
  );
}
