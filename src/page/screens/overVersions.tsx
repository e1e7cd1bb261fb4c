/** How well each task was told from the others, version by version. */
import { useEffect, useState } from "preact/hooks";
import type { StoreStatus, VersionQuality } from "../../client/index.ts";
import { useLoaded } from "../model/load.ts";
import { isAbort, percent } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { Scroll } from "../parts/scroll.tsx";

const MOST_VERSIONS = 6;
const MOST_TASKS = 40;

export function OverVersions({ status }: { readonly status: StoreStatus }) {
  const { client, store } = useSession();
  const [judged, setJudged] = useState<readonly VersionQuality[]>([]);
  const versions = useLoaded(
    (signal) => client.versions({ name: store }, { signal }),
    [store, status.version],
  );
  const listed = versions.value?.versions;
  useEffect(() => {
    if (listed === undefined) return;
    const stop = new AbortController();
    const judge = async () => {
      const found: VersionQuality[] = [];
      for (const { version } of listed.slice(0, MOST_VERSIONS)) {
        const one = await client.quality({ name: store, version }, { signal: stop.signal });
        if (one.quality) found.push(one);
      }
      if (!stop.signal.aborted) setJudged(found);
    };
    judge().catch((error: unknown) => {
      if (!isAbort(error)) setJudged([]);
    });
    return () => stop.abort();
  }, [listed]);
  const tasks = judged[0]?.quality?.tasks ?? [];
  if (judged.length === 0) return null;
  return (
    <section class="card">
      <h2>Over the last versions</h2>
      <p class="quiet">Held-out texts of each task that got the right class.</p>
      <Scroll label="Accuracy of each task, version by version">
        <table class="grid">
          <thead>
            <tr>
              <th scope="col">Task</th>
              {judged.map(({ version }) => (
                <th scope="col" key={version} class="number">
                  Version {version}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {tasks.slice(0, MOST_TASKS).map(({ task }) => (
              <tr key={task}>
                <th scope="row">{task}</th>
                {judged.map(({ version, quality }) => {
                  const own = quality?.tasks.find((each) => each.task === task);
                  return (
                    <td key={version} class="number">
                      {own === undefined ? "–" : percent(own.right / own.judged)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
