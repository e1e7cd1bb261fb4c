/** Which store is looked at: a list where a page holds them all, else a field that finds them by how their names begin. */
import type { TargetedEvent } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Stores } from "../../client/index.ts";
import { sayError } from "../model/say.ts";
import { useSession } from "../model/session.tsx";

interface StoreChoiceProps {
  /** The first page of names. */
  readonly listed: Stores;
  readonly store: string;
  readonly onChoose: (name: string) => void;
}

export function StoreChoice({ listed, store, onChoose }: StoreChoiceProps) {
  if (listed.hasMore) return <StoreSearch store={store} onChoose={onChoose} />;
  if (listed.stores.length < 2) return <p class="store">{store === "" ? "Accrete" : store}</p>;
  return (
    <select
      class="store"
      aria-label="Store"
      value={store}
      onChange={({ currentTarget }) => onChoose(currentTarget.value)}
    >
      {listed.stores.map(({ name }) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

/** Names that are offered while one is typed. */
const OFFERED = 20;
const PAUSE_MS = 150;

function StoreSearch({ store, onChoose }: Omit<StoreChoiceProps, "listed">) {
  const { client } = useSession();
  const [typed, setTyped] = useState(store);
  const [names, setNames] = useState<readonly string[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const asked = client.stores({ after: typed, limit: OFFERED }, { signal: stop.signal });
      asked.then(
        ({ stores }) => setNames(stores.map(({ name }) => name)),
        () => setNames([]),
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [client, typed]);
  const choose = async ({ currentTarget: field }: TargetedEvent<HTMLInputElement>) => {
    try {
      await client.status({ name: field.value });
      onChoose(field.value);
    } catch (error) {
      field.setCustomValidity(sayError(error));
      field.reportValidity();
    }
  };
  return (
    <>
      <input
        class="store"
        aria-label="Store"
        list="stores"
        value={typed}
        onInput={({ currentTarget }) => {
          currentTarget.setCustomValidity("");
          setTyped(currentTarget.value);
        }}
        onChange={(event) => void choose(event)}
      />
      <datalist id="stores">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}
