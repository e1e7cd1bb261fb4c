/** Our side of a side-by-side benchmark speaks the JSON lines of `peers/peft_worker.py`. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { nodeRuntime } from "../src/runtime/node.ts";

/** Linux's high-water mark; elsewhere what Node reports. */
function peakRssBytes(): number {
  try {
    const line = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
    if (line?.[1] !== undefined) return Number(line[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** Answers `{"steps": n}` with the wall times of that many steps, until `{"quit": true}` or the input's end. */
export async function serve(step: () => Promise<number | undefined>): Promise<void> {
  const reply = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`);
  reply({ ready: true, engine: nodeRuntime.name, node: process.version, peakRssBytes: peakRssBytes() });
  for await (const line of createInterface({ input: process.stdin })) {
    const request: { steps?: number; quit?: boolean } = JSON.parse(line);
    if (request.quit) break;
    const seconds: number[] = [];
    const cpuSeconds: number[] = [];
    let loss: number | undefined;
    for (let i = 0; i < (request.steps ?? 0); i++) {
      const [start, before] = [performance.now(), process.cpuUsage()];
      loss = await step();
      seconds.push((performance.now() - start) / 1000);
      const { user, system } = process.cpuUsage(before);
      cpuSeconds.push((user + system) / 1e6);
    }
    reply({ seconds, cpuSeconds, peakRssBytes: peakRssBytes(), ...(loss === undefined ? {} : { loss }) });
  }
}
