/**
 * Something that is opened when first asked for. Whoever asks while it opens waits for the same one: a second would never
 * be released. A failure is told to those who wait, and the next one who asks tries anew.
 */
export class OpenedOnce<T extends AsyncDisposable> implements AsyncDisposable {
  private readonly open: () => Promise<T>;
  private opening: Promise<T> | undefined;

  constructor(open: () => Promise<T>) {
    this.open = open;
  }

  async get(): Promise<T> {
    this.opening ??= this.open();
    const { opening } = this;
    try {
      return await opening;
    } catch (error) {
      if (this.opening === opening) this.opening = undefined;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { opening } = this;
    this.opening = undefined;
    // What could not be opened holds nothing.
    await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}
