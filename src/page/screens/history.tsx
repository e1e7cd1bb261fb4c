/** Go back: every version with what it changed, and the way to it. */
import { useState } from "preact/hooks";
import type { Differences, StoreStatus, Versions } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { ago, count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { useMade } from "../model/useMade.ts";
import { Dialog } from "../parts/dialog.tsx";
import { MadeNotice } from "../parts/made.tsx";
import { Notice } from "../parts/notice.tsx";

type Version = Versions["versions"][number];

export function HistoryScreen({ status }: { readonly status: StoreStatus }) {
  const { client, store, canChange } = useSession();
  const [target, setTarget] = useState<Version>();
  const versions = useLoaded(
    (signal) => client.versions({ name: store }, { signal }),
    [store, status.version],
  );
  const making = useMade(() => setTarget(undefined));
  const listed = versions.value?.versions ?? [];
  return (
    <>
      <h1>History</h1>
      <p class="lead">Every change made a version. Going back makes a new one, so nothing is lost by it.</p>
      {versions.error !== undefined && <Notice kind="error">{versions.error}</Notice>}
      {making.made && <MadeNotice made={making.made} onUndone={() => making.forget()} />}
      <ol class="versions">
        {listed.map((each, i) => (
          <VersionItem
            key={each.version}
            item={each}
            before={listed[i + 1]?.version}
            isPresent={each.version === status.version}
            {...(canChange && { onBack: () => setTarget(each) })}
          />
        ))}
      </ol>
      {target && (
        <GoBack
          target={target}
          present={status.version}
          isBusy={making.isBusy}
          error={making.error}
          onClose={() => {
            making.clear();
            setTarget(undefined);
          }}
          onConfirm={() =>
            void making.run(
              (client) => client.rollback({ name: store }, { to: target.version, ifVersion: status.version }),
              `Went back to version ${target.version}.`,
            )
          }
        />
      )}
    </>
  );
}

interface ItemProps {
  readonly item: Version;
  /** The version that it was made from; undefined where that is not kept. */
  readonly before: number | undefined;
  readonly isPresent: boolean;
  readonly onBack?: () => void;
}

function VersionItem({ item: { version, change, time }, before, isPresent, onBack }: ItemProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li class="card version">
      <div class="row">
        <p class="grow">
          <b>Version {version}</b>
          {isPresent && <span class="tag now">answers now</span>}
          <br />
          {change} <span class="quiet">{ago(time)}</span>
        </p>
        {!isPresent && onBack && (
          <button type="button" onClick={onBack} aria-label={`Go back to version ${version}`}>
            Go back
          </button>
        )}
      </div>
      {before !== undefined && (
        <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
          <summary>What changed</summary>
          {isOpen && <Changes from={before} to={version} />}
        </details>
      )}
    </li>
  );
}

function Changes({ from, to }: { readonly from: number; readonly to: number }) {
  const { client, store } = useSession();
  const { value, error } = useLoaded(
    (signal) => client.differences({ name: store, from, to }, { signal }),
    [store, from, to],
  );
  if (error !== undefined) return <p class="error-text">{error}</p>;
  if (value === undefined) return <p class="quiet">Comparing…</p>;
  return <DifferenceList classes={value.classes} />;
}

function sayDifference({ before, after }: Differences["classes"][number]): string {
  if (before === 0) return `new, ${count(after, "text")}`;
  if (after === 0) return `gone, had ${count(before, "text")}`;
  return `${count(before, "text")} → ${after}`;
}

function DifferenceList({ classes }: Differences) {
  if (classes.length === 0) return <p>The classes and their texts are the same.</p>;
  return (
    <ul class="plain">
      {classes.map((each) => (
        <li key={each.label}>
          <b>{each.label}</b>: {sayDifference(each)}
        </li>
      ))}
    </ul>
  );
}

interface GoBackProps {
  readonly target: Version;
  readonly present: number;
  readonly isBusy: boolean;
  readonly error: string | undefined;
  readonly onClose: () => void;
  readonly onConfirm: () => void;
}

function GoBack({ target: { version }, present, ...dialog }: GoBackProps) {
  return (
    <Dialog title={`Go back to version ${version}?`} action="Go back" {...dialog}>
      <p>This is what becomes different:</p>
      <Changes from={present} to={version} />
      <p class="quiet">Version {present} stays in the history.</p>
    </Dialog>
  );
}
