/**
 * Work that tells what it is at through a callback, as a generator of what it told. Whoever stops listening waits for the
 * work's end all the same, since it may hold what is disposed of next.
 */
export async function* relay<E, R>(work: (tell: (event: E) => void) => Promise<R>): AsyncGenerator<E, R> {
  const told: E[] = [];
  let ended = false;
  let wake = () => {};
  const tell = (event: E) => {
    told.push(event);
    wake();
  };
  const result = work(tell);
  const end = () => {
    ended = true;
    wake();
  };
  const over = result.then(end, end);
  try {
    while (true) {
      yield* told.splice(0);
      if (ended && told.length === 0) return await result;
      if (told.length > 0) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    await over;
  }
}
