/** What is loaded from the server, and what is done there. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isAbort } from "./say.ts";
import { useSession } from "./session.tsx";

export interface Loaded<T> {
  /** The last one that came: it stays while the next is on its way. */
  readonly value: T | undefined;
  readonly error: string | undefined;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

/** Loads something, and again whenever one of the keys changes; undefined loads nothing. */
export function useLoaded<T>(
  load: ((signal: AbortSignal) => Promise<T>) | undefined,
  keys: readonly unknown[],
): Loaded<T> {
  const { fail } = useSession();
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<string>();
  const [isLoading, setLoading] = useState(load !== undefined);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (load === undefined) {
      setValue(undefined);
      setLoading(false);
      return;
    }
    const stop = new AbortController();
    setLoading(true);
    load(stop.signal)
      .then(
        (found) => {
          if (stop.signal.aborted) return;
          setValue(() => found);
          setError(undefined);
        },
        (reason: unknown) => {
          if (!stop.signal.aborted && !isAbort(reason)) setError(fail(reason));
        },
      )
      .finally(() => {
        if (!stop.signal.aborted) setLoading(false);
      });
    return () => stop.abort();
  }, [...keys, round]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  return { value, error, isLoading, reload };
}

export interface Action<A extends readonly unknown[]> {
  readonly run: (...args: A) => Promise<void>;
  readonly isBusy: boolean;
  readonly error: string | undefined;
  readonly clear: () => void;
}

/** Something that is done once at a time, with its refusal in words. */
export function useAction<A extends readonly unknown[]>(work: (...args: A) => Promise<void>): Action<A> {
  const { fail } = useSession();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const busy = useRef(false);
  const run = async (...args: A): Promise<void> => {
    if (busy.current) return;
    busy.current = true;
    setBusy(true);
    setError(undefined);
    try {
      await work(...args);
    } catch (reason) {
      if (!isAbort(reason)) setError(fail(reason));
    } finally {
      busy.current = false;
      setBusy(false);
    }
  };
  return { run, isBusy, error, clear: () => setError(undefined) };
}
