import { Interrupt } from "../terminal/interrupt.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * Shows a run on a page while it goes on, and afterwards until Ctrl-C. Where the run is interrupted, the page ends with it.
 * @param out the run's folder, or that of its seeds
 * @param port 0: any that is free
 */
export async function withRunPage(
  { out, port }: { readonly out: string; readonly port: number },
  terminal: Terminal,
  run: () => Promise<void>,
): Promise<void> {
  const [{ createServer }, { listen }] = await Promise.all([
    import("../../server/server.ts"),
    import("../../server/listen.ts"),
  ]);
  const server = createServer({}, { runs: out, readOnly: true });
  const listening = await listen(server, { host: "127.0.0.1", port });
  try {
    terminal.err(`Open ${listening.url}/ in a browser to watch the run.\n`);
    await run();
    terminal.err(`The page stays at ${listening.url}/ until Ctrl-C.\n`);
    using interrupt = new Interrupt();
    await new Promise<void>((resolve) => {
      interrupt.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await interrupt.waitForDuplicateSignal();
  } finally {
    await listening.stop();
  }
}
