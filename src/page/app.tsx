/** The frame: which store, which screen, the token, and whether the server can be reached. */
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import type { Info, StoreStatus, Stores } from "../client/index.ts";
import { codeOf, count, sayError } from "./model/say.ts";
import { type Session, SessionContext, useClient, useStatus, useToken } from "./model/session.tsx";
import { Notice } from "./parts/notice.tsx";
import { StoreChoice } from "./parts/storeChoice.tsx";
import { TokenForm } from "./parts/tokenForm.tsx";
import { AskScreen } from "./screens/ask.tsx";
import { ClassesScreen } from "./screens/classes.tsx";
import { HistoryScreen } from "./screens/history.tsx";
import { TeachScreen } from "./screens/teach.tsx";
import { WordsScreen } from "./screens/words.tsx";
import { RunsScreen } from "./watching/runs.tsx";
import { WorkersScreen } from "./watching/workers.tsx";

const screens = {
  ask: "Ask",
  teach: "Teach",
  classes: "Classes",
  history: "History",
  runs: "Runs",
  workers: "Workers",
} as const;
type Screen = keyof typeof screens;

const isScreen = (name: string): name is Screen => Object.hasOwn(screens, name);

/** `#/ask`, or `#/runs/name`. */
function useRoute(): { readonly screen: Screen | undefined; readonly rest: string } {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const [, name = "", rest = ""] = /^#\/(\w+)(?:\/(.*))?$/.exec(hash) ?? [];
  return { screen: isScreen(name) ? name : undefined, rest: decodeURIComponent(rest) };
}

const RETRY_MS = 1000;

interface Served {
  readonly info: Info;
  /** The first page of names. */
  readonly listed: Stores;
}

/** What is served: asked until the server answers, and has something. */
function useServed(client: Session["client"], onRefused: (error: unknown) => void) {
  const [served, setServed] = useState<Served>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isGone = false;
    setServed(undefined);
    const ask = async () => {
      try {
        const [info, listed] = await Promise.all([client.info(), client.stores()]);
        if (isGone) return;
        const isEmpty = listed.stores.length === 0 && !info.lists_runs && !info.watches_queue;
        setProblem(isEmpty ? "No store is there yet…" : undefined);
        if (!isEmpty) return setServed({ info, listed });
      } catch (error) {
        if (isGone) return;
        if (codeOf(error) === "UNAUTHORIZED") return onRefused(error);
        setProblem(`${sayError(error)} Trying again…`);
      }
      timer = setTimeout(() => void ask(), RETRY_MS);
    };
    void ask();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [client]);
  return { served, problem };
}

/** What a store is at, in a few words. */
function stateOf(status: StoreStatus | undefined, isLost: boolean): string {
  if (isLost) return "Not connected";
  if (status === undefined) return "";
  const busy = status.changesUnderWay > 0 ? "Learning… " : "";
  const kind = status.level === "word" ? "entity type" : "class";
  return `${busy}${count(status.classes.length, kind, kind === "class" ? "classes" : "entity types")}, version ${status.version}`;
}

export function App() {
  const [token, setToken] = useToken();
  const client = useClient(token);
  const [asked, setAsked] = useState<string>();
  const onRefused = useCallback(
    (error: unknown) => setAsked(token === undefined ? "This server asks for a token." : sayError(error)),
    [token],
  );
  const { served, problem } = useServed(client, onRefused);
  if (asked !== undefined)
    return (
      <TokenForm
        reason={asked}
        onToken={(given) => {
          setAsked(undefined);
          setToken(given);
        }}
      />
    );
  if (served === undefined)
    return (
      <main class="wait" aria-busy="true">
        <p role="status">{problem ?? "Loading…"}</p>
      </main>
    );
  return <Page client={client} {...served} onRefused={onRefused} />;
}

interface PageProps extends Served {
  readonly client: Session["client"];
  readonly onRefused: (error: unknown) => void;
}

function Page({ client, info, listed, onRefused }: PageProps) {
  const route = useRoute();
  const [store = "", setStore] = useState(listed.stores[0]?.name);
  const { status, isLost } = useStatus(client, store === "" ? undefined : store, onRefused);
  const session = useMemo(
    (): Session => ({
      client,
      info,
      store,
      status,
      canChange: !info.read_only,
      fail: (error) => {
        if (codeOf(error) === "UNAUTHORIZED") onRefused(error);
        return sayError(error);
      },
      askToken: () => onRefused(new Error("Enter the token for changing.")),
    }),
    [client, info, store, status, onRefused],
  );
  const first = useFirstScreen(info, store, status);
  const screen = route.screen ?? first;
  useEffect(() => {
    document.title = `${screen === undefined ? "" : `${screens[screen]} · `}${store === "" ? "Accrete" : store}`;
  }, [screen, store]);
  const shown: readonly Screen[] = [
    ...(store === "" ? [] : (["ask", "teach", "classes", "history"] as const)),
    ...(info.lists_runs ? (["runs"] as const) : []),
    ...(info.watches_queue ? (["workers"] as const) : []),
  ];
  return (
    <SessionContext.Provider value={session}>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <a class="brand" href="#/">
          <span class="hidden">Accrete, start</span>
          <svg viewBox="0 0 32 32" aria-hidden="true" width="26" height="26">
            <rect width="32" height="32" rx="7" class="brand-box" />
            <path d="M7 22h18M7 16h13M7 10h8" class="brand-lines" />
          </svg>
        </a>
        <StoreChoice listed={listed} store={store} onChoose={setStore} />
        <nav class="tabs" aria-label="Screens">
          {shown.map((name) => (
            <a key={name} href={`#/${name}`} aria-current={name === screen ? "page" : undefined}>
              {screens[name]}
            </a>
          ))}
        </nav>
        <p class="state" role="status">
          {stateOf(status, isLost)}
        </p>
      </header>
      <main id="main" tabIndex={-1}>
        {isLost && (
          <Notice kind="warning">
            The connection to the server is lost. Trying again… What you typed stays here.
          </Notice>
        )}
        {status?.problem !== undefined && <Notice kind="warning">{status.problem}</Notice>}
        <ScreenOf screen={screen} rest={route.rest} status={status} key={`${store} ${screen}`} />
      </main>
    </SessionContext.Provider>
  );
}

/** Where the page begins: it stays there when the first class is taught. */
function useFirstScreen(info: Info, store: string, status: StoreStatus | undefined): Screen | undefined {
  const [first, setFirst] = useState<{ readonly store: string; readonly screen: Screen }>();
  useEffect(() => {
    if (status !== undefined && first?.store !== store)
      setFirst({ store, screen: status.classes.length === 0 ? "teach" : "ask" });
  }, [store, status, first]);
  if (store === "") return info.lists_runs ? "runs" : "workers";
  return first?.store === store ? first.screen : undefined;
}

function ScreenOf({
  screen,
  rest,
  status,
}: {
  readonly screen: Screen | undefined;
  readonly rest: string;
  readonly status: StoreStatus | undefined;
}) {
  if (screen === "runs") return <RunsScreen open={rest} />;
  if (screen === "workers") return <WorkersScreen />;
  if (status === undefined || screen === undefined) return <p class="quiet">Loading…</p>;
  if (screen === "ask")
    return status.level === "word" ? <WordsScreen status={status} /> : <AskScreen status={status} />;
  if (screen === "teach") return <TeachScreen status={status} />;
  if (screen === "classes") return <ClassesScreen status={status} />;
  return <HistoryScreen status={status} />;
}
