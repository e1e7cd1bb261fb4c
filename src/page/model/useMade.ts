/** Makes changes, and tells what they did. */
import { useState } from "preact/hooks";
import type { Client, Job } from "../../client/index.ts";
import { effectOf, finished, type Made, versionOf } from "./change.ts";
import { type Action, useAction } from "./load.ts";
import { useSession } from "./session.tsx";

export interface Making extends Action<[change: (client: Client) => Promise<Job>, what: string]> {
  readonly made: Made | undefined;
  readonly forget: () => void;
}

/** @param onMade called once the change is there, before it is known what it did */
export function useMade(onMade: (made: Made) => void = () => {}): Making {
  const { client, store } = useSession();
  const [made, setMade] = useState<Made>();
  const action = useAction(async (change: (client: Client) => Promise<Job>, what: string) => {
    const job = await finished(client, await change(client));
    const version = versionOf(job);
    // What others changed meanwhile is not ours: the version before it is the one that ours was made from.
    const begun = { what, version, before: version - 1 };
    setMade(begun);
    onMade(begun);
    void effectOf(client, store, begun).then(
      (effect) => setMade((now) => (now?.version === version ? { ...begun, ...effect } : now)),
      () => setMade((now) => (now?.version === version ? { ...begun, isUnmeasured: true } : now)),
    );
  });
  return { ...action, made, forget: () => setMade(undefined) };
}
