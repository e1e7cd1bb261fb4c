/**
 * Work that reports its events through a callback, as an async generator of these events. A caller that stops early still
 * waits for the end of the work, since it may hold what is disposed of next.
 */
export async function* callbackToAsyncGenerator<E, R>(
  work: (emit: (event: E) => void) => Promise<R>,
): AsyncGenerator<E, R> {
  const emitted: E[] = [];
  let ended = false;
  let wake = () => {};
  const result = work((event) => {
    emitted.push(event);
    wake();
  });
  const over = result
    .catch(() => undefined)
    .then(() => {
      ended = true;
      wake();
    });
  try {
    while (true) {
      yield* emitted.splice(0);
      if (ended && emitted.length === 0) return await result;
      if (emitted.length > 0) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    await over;
  }
}
