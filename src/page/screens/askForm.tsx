/** Where texts are typed: one, or several, one a line. */
import { useState } from "preact/hooks";
import type { StoreStatus } from "../../client/index.ts";
import { linesOf } from "../model/texts.ts";

export interface Asked {
  readonly texts: readonly string[];
  readonly task: string | undefined;
  readonly exact: boolean;
}

interface Props {
  readonly status: StoreStatus;
  readonly isBusy: boolean;
  readonly onAsk: (asked: Asked) => void;
}

export function AskForm({ status, isBusy, onAsk }: Props) {
  const [typed, setTyped] = useState("");
  const [task, setTask] = useState("");
  const [exact, setExact] = useState(false);
  const texts = linesOf(typed);
  const ask = () => {
    if (texts.length > 0 && !isBusy) onAsk({ texts, task: task === "" ? undefined : task, exact });
  };
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <label for="ask">Your text</label>
      <textarea
        id="ask"
        rows={2}
        value={typed}
        placeholder="Type or paste. Several texts: one a line."
        onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          ask();
        }}
      />
      <div class="row">
        <button class="primary" type="submit" disabled={texts.length === 0} aria-disabled={isBusy}>
          {texts.length > 1 ? `Ask ${texts.length} texts` : "Ask"}
        </button>
        {status.tasks.length > 1 && (
          <details class="more">
            <summary>Options</summary>
            <div class="row">
              <label for="task">Answer within</label>
              <select id="task" value={task} onChange={({ currentTarget }) => setTask(currentTarget.value)}>
                <option value="">everything</option>
                {status.tasks.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
              <label class="check">
                <input
                  type="checkbox"
                  checked={exact}
                  onChange={({ currentTarget }) => setExact(currentTarget.checked)}
                />
                Ask every adapter (slower)
              </label>
            </div>
          </details>
        )}
      </div>
    </form>
  );
}
