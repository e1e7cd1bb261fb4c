/** Takes files that are dropped on it, or chosen with its button. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Dropped, readFileText } from "../model/texts.ts";

interface Props {
  readonly onFile: (name: string, dropped: Dropped) => void;
  readonly children: ComponentChildren;
}

export function FileDrop({ onFile, children }: Props) {
  const [isOver, setOver] = useState(false);
  const take = (files: FileList | null | undefined) => {
    for (const file of files ?? [])
      void file.text().then((content) => onFile(file.name, readFileText(file.name, content)));
  };
  return (
    <fieldset
      aria-label="Examples, or a file of them"
      class={isOver ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer?.files);
      }}
    >
      {children}
      <label class="file">
        <input
          type="file"
          accept=".txt,.csv,.jsonl,.json,text/plain"
          onChange={({ currentTarget }) => {
            take(currentTarget.files);
            currentTarget.value = "";
          }}
        />
        <span>Choose a file</span>
      </label>
    </fieldset>
  );
}
