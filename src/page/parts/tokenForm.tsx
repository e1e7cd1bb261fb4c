/** Asks for the token. */
import { useState } from "preact/hooks";

interface Props {
  readonly reason: string;
  readonly onToken: (token: string) => void;
}

export function TokenForm({ reason, onToken }: Props) {
  const [typed, setTyped] = useState("");
  return (
    <main class="wait">
      <form
        class="card token"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim() !== "") onToken(typed.trim());
        }}
      >
        <h1>Sign in</h1>
        <p role="status">{reason}</p>
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          value={typed}
          onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        />
        <p class="quiet">Whoever runs the server has it. It is kept until you close this tab.</p>
        <button class="primary" type="submit">
          Go on
        </button>
      </form>
    </main>
  );
}
