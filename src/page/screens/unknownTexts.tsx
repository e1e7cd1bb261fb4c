/** Texts that were unknown, those that are alike together: each group can be named as a class in one step. */
import { useState } from "preact/hooks";
import type { KeptGroups, KeptText } from "../../client/index.ts";
import type { Loaded } from "../model/load.ts";
import { count } from "../model/say.ts";
import { useSession } from "../model/session.tsx";
import { useMade } from "../model/useMade.ts";
import { MadeNotice } from "../parts/made.tsx";
import { Notice } from "../parts/notice.tsx";

const SHOWN = 5;

interface Props {
  readonly classes: readonly string[];
  readonly groups: Loaded<KeptGroups>;
}

export function UnknownTexts({ classes, groups }: Props) {
  const { info, store } = useSession();
  const making = useMade(groups.reload);
  const found = groups.value?.groups ?? [];
  return (
    <section class="card">
      <h2>Unknown so far</h2>
      {groups.error !== undefined && <Notice kind="error">{groups.error}</Notice>}
      {groups.value && found.length === 0 && (
        <p class="quiet">No text was unknown in the last {count(info.keeps_texts_days ?? 0, "day")}.</p>
      )}
      {making.error !== undefined && <Notice kind="error">{making.error}</Notice>}
      {making.made && <MadeNotice made={making.made} onUndone={() => making.forget()} />}
      {found.map((group) => (
        <Group
          key={group[0]?.id}
          group={group}
          classes={classes}
          isBusy={making.isBusy}
          onName={(label) =>
            void making.run(
              (client) =>
                client.correct({ name: store }, { corrections: group.map(({ text }) => ({ text, label })) }),
              `Learned ${label} from ${count(group.length, "text")}.`,
            )
          }
        />
      ))}
    </section>
  );
}

interface GroupProps {
  readonly group: readonly KeptText[];
  readonly classes: readonly string[];
  readonly isBusy: boolean;
  readonly onName: (label: string) => void;
}

function Group({ group, classes, isBusy, onName }: GroupProps) {
  const { canChange } = useSession();
  const [label, setLabel] = useState("");
  const id = `name-${group[0]?.id}`;
  return (
    <div class="group">
      <ul>
        {group.slice(0, SHOWN).map(({ id, text }) => (
          <li key={id}>{text}</li>
        ))}
        {group.length > SHOWN && <li class="quiet">and {group.length - SHOWN} more</li>}
      </ul>
      {canChange && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            if (label.trim() !== "") onName(label.trim());
          }}
        >
          <label class="hidden" for={id}>
            Name for {count(group.length, "text")} like “{group[0]?.text}”
          </label>
          <input
            id={id}
            list={`${id}-known`}
            placeholder="Name this class"
            autocomplete="off"
            value={label}
            onInput={({ currentTarget }) => setLabel(currentTarget.value)}
          />
          <datalist id={`${id}-known`}>
            {classes.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          <button type="submit" disabled={isBusy || label.trim() === ""}>
            Teach {count(group.length, "text")}
          </button>
        </form>
      )}
    </div>
  );
}
