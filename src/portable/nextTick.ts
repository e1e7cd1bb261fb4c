/** Lets the event loop take its turn: what waits is handled before the promise resolves. */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    // A browser's timers wait four milliseconds once they are nested; messages do not.
    const { port1, port2 } = new MessageChannel();
    const taken = () => {
      port1.close();
      resolve();
    };
    port1.addEventListener("message", taken, { once: true });
    port1.start();
    port2.postMessage(null);
  });
}
