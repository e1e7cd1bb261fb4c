/** A question before something is done, in the browser's own dialog: it keeps the focus within, and Escape leaves it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Notice } from "./notice.tsx";

interface Props {
  readonly title: string;
  readonly action: string;
  readonly isDangerous?: boolean;
  readonly isBusy: boolean;
  readonly error: string | undefined;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, action, isDangerous, isBusy, error, onConfirm, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const { current } = dialog;
    const pressed = document.activeElement;
    current?.showModal();
    return () => {
      current?.close();
      // By now the dialog may be out of the page, and the browser no longer knows whom to give the focus back to.
      if (pressed instanceof HTMLElement) pressed.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id="dialog-title">{title}</h2>
      {children}
      {error !== undefined && <Notice kind="error">{error}</Notice>}
      <div class="buttons">
        <button
          type="button"
          class={isDangerous === true ? "danger" : "primary"}
          disabled={isBusy}
          onClick={onConfirm}
        >
          {isBusy ? "Working…" : action}
        </button>
        <button type="button" onClick={onClose} disabled={isBusy}>
          Cancel
        </button>
      </div>
    </dialog>
  );
}
