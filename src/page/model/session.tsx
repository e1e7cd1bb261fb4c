/** Who asks, which store is looked at, and how it is. */
import { createContext } from "preact";
import { useCallback, useContext, useEffect, useMemo, useState } from "preact/hooks";
import { type Client, createClient, type Info, type StoreStatus } from "../../client/index.ts";
import { codeOf, isAbort, sayError } from "./say.ts";
import { keepToken, keptToken, tokenIn } from "./token.ts";

export interface Session {
  readonly client: Client;
  readonly info: Info;
  readonly store: string;
  readonly status: StoreStatus | undefined;
  /** Whether changes are possible here. */
  readonly canChange: boolean;
  /** Says an error; where the token is not accepted any more it asks for one. */
  readonly fail: (error: unknown) => string;
  /** Shows a question for the token over the page. */
  readonly askToken: () => void;
}

export const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === undefined) throw new TypeError("no session");
  return session;
}

/** The token of this tab; one in the address goes out of it. */
export function useToken(): readonly [string | undefined, (token: string | undefined) => void] {
  const [token, setToken] = useState(() => {
    const { token, rest } = tokenIn(location.hash);
    if (token === undefined) return keptToken(sessionStorage);
    keepToken(sessionStorage, token);
    history.replaceState(undefined, "", location.pathname + rest);
    return token;
  });
  const set = useCallback((next: string | undefined) => {
    keepToken(sessionStorage, next);
    setToken(next);
  }, []);
  return [token, set];
}

export function useClient(token: string | undefined): Client {
  return useMemo(() => createClient({ baseUrl: location.origin, token }), [token]);
}

const LONGEST_WAIT_MS = 5000;

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Follows a stream of events for as long as it is looked at; a stream that breaks is begun anew. */
export function useEvents(
  open: (signal: AbortSignal) => AsyncIterable<{ readonly event: string; readonly data: string }>,
  onData: (data: string) => void,
  onState: (state: "open" | "lost" | { readonly error: unknown }) => void,
  keys: readonly unknown[],
): void {
  useEffect(() => {
    const stop = new AbortController();
    const follow = async () => {
      for (let tries = 0; !stop.signal.aborted; tries++) {
        try {
          for await (const { data } of open(stop.signal)) {
            tries = 0;
            onState("open");
            onData(data);
          }
        } catch (error) {
          if (stop.signal.aborted || isAbort(error)) return;
          const code = codeOf(error);
          if (code !== undefined && code !== "NOT_READY" && code !== "HTTP") return onState({ error });
        }
        if (stop.signal.aborted) return;
        onState("lost");
        await pause(Math.min(LONGEST_WAIT_MS, 500 * 2 ** tries), stop.signal);
      }
    };
    void follow();
    return () => stop.abort();
  }, keys);
}

export interface Connection {
  readonly status: StoreStatus | undefined;
  readonly isLost: boolean;
}

/** How a store is, told whenever that changes. */
export function useStatus(
  client: Client,
  store: string | undefined,
  onRefused: (error: unknown) => void,
): Connection {
  const [status, setStatus] = useState<StoreStatus>();
  const [isLost, setLost] = useState(false);
  useEvents(
    (signal) => (store === undefined ? nothing() : client.storeEvents({ name: store }, { signal })),
    (data) => setStatus(JSON.parse(data)),
    (state) => {
      setLost(state === "lost" && store !== undefined);
      if (typeof state === "object") onRefused(state.error);
    },
    [client, store],
  );
  useEffect(() => {
    const lost = () => setLost(true);
    addEventListener("offline", lost);
    return () => removeEventListener("offline", lost);
  }, []);
  return { status: status?.store === store ? status : undefined, isLost };
}

async function* nothing(): AsyncGenerator<{ readonly event: string; readonly data: string }> {
  await new Promise(() => {});
  yield { event: "", data: "" };
}

export { sayError };
