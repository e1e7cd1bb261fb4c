/** Whether a place refuses to set a name that says something else by now, which is all that keeps changes from being lost. */
import { randomUUID } from "node:crypto";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { StoreError } from "../../core/errors.ts";

const probe = "probes/conditions";

/** @throws StoreError where names are set whatever they say: some servers of S3's protocol leave conditions aside */
export async function requireConditions(artefacts: ArtefactStore): Promise<void> {
  const set = async (mark?: string) =>
    (await artefacts.setName(probe, randomUUID(), mark === undefined ? undefined : { value: "", mark })) !==
    undefined;
  // It is there after the first time at the latest, and never says what has that mark.
  await set();
  if (!(await set()) && !(await set(`"${"0".repeat(32)}"`))) return;
  throw new StoreError(
    `${artefacts.place}: the server overwrites what was changed meanwhile: it leaves conditional writes aside`,
    {
      hint: "Changes could be lost there, so none is made. Take a server that has If-Match and If-None-Match for PutObject, or a shared folder.",
    },
  );
}
