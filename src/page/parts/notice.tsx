/** Something the reader should know. Errors are read aloud at once. */
import type { ComponentChildren } from "preact";

interface Props {
  readonly kind: "error" | "warning" | "done" | "info";
  readonly children: ComponentChildren;
}

export function Notice({ kind, children }: Props) {
  return (
    <div class={`notice ${kind}`} role={kind === "error" ? "alert" : "status"}>
      {children}
    </div>
  );
}
