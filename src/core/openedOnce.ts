/**
 * Something that is opened on first use. Concurrent calls share the one that is being opened: a second would never be
 * released. Where opening fails, all of them fail, and the next call tries again.
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
