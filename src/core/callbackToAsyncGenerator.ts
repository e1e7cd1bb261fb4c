/**
 * Work that tells what it is at through a callback, as a generator of what it emitted. Whoever stops listening waits for the
 * work's end all the same, since it may hold what is disposed of next.
 */
export async function* callbackToAsyncGenerator<E, R>(
  work: (emit: (event: E) => void) => Promise<R>,
): AsyncGenerator<E, R> {
  const emitted: E[] = [];
  let ended = false;
  let wake = () => {};
  const emit = (event: E) => {
    emitted.push(event);
    wake();
  };
  const result = work(emit);
  const end = () => {
    ended = true;
    wake();
  };
  const over = result.then(end, end);
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
