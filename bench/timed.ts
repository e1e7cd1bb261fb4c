/** What a piece of work takes, in milliseconds. */
export interface Spent {
  readonly wall: number;
  readonly processor: number;
}

export async function timed<T>(work: () => Promise<T>): Promise<Spent & { readonly result: T }> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(used);
  return { wall: performance.now() - began, processor: (user + system) / 1000, result };
}
