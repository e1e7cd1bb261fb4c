/** What a store that answers in words says by itself, word by word as it comes. */
import { useEffect, useState } from "preact/hooks";
import { AccreteError } from "../../core/errors.ts";
import { isAbort } from "../model/say.ts";
import { useSession } from "../model/session.tsx";

interface Props {
  readonly text: string;
  /** With `{text}` where the text goes. */
  readonly prompt: string;
}

const MOST_TOKENS = 40;

/** @throws AccreteError where the stream ends with a refusal */
function pieceOf(data: string): string {
  const told: unknown = JSON.parse(data);
  const refusal: unknown =
    typeof told === "object" && told !== null && "error" in told ? told.error : undefined;
  if (typeof refusal === "object" && refusal !== null && "message" in refusal)
    throw new AccreteError("REFUSED", String(refusal.message));
  const choices = typeof told === "object" && told !== null && "choices" in told ? told.choices : [];
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const text = typeof first === "object" && first !== null && "text" in first ? first.text : "";
  return typeof text === "string" ? text : "";
}

export function FreeAnswer({ text, prompt }: Props) {
  const { client, store, fail } = useSession();
  const [said, setSaid] = useState("");
  const [error, setError] = useState<string>();
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    const follow = async () => {
      const body = { model: store, prompt: prompt.replaceAll("{text}", text), max_tokens: MOST_TOKENS };
      for await (const { data } of client.streamCompletions(body, { signal: stop.signal }))
        if (data !== "[DONE]") setSaid((before) => before + pieceOf(data));
      setDone(true);
    };
    follow().catch((reason: unknown) => {
      if (!stop.signal.aborted && !isAbort(reason)) setError(fail(reason));
    });
    return () => stop.abort();
  }, []);
  return (
    <article class="card" aria-busy={!isDone && error === undefined}>
      <h2>In its own words</h2>
      <p class="said">
        {said.trim()}
        {!isDone && error === undefined && <span class="caret" aria-hidden="true" />}
      </p>
      {isDone && said.trim() === "" && <p class="quiet">It says nothing.</p>}
      {error !== undefined && <p class="error-text">{error}</p>}
    </article>
  );
}
