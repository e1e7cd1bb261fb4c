import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";

/** What the processor's flags are on Linux; elsewhere none are known. */
export function processorFlags(): ReadonlySet<string> {
  if (process.platform !== "linux") return new Set();
  try {
    const lines = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(lines?.[1]?.trim().split(/\s+/));
  } catch {
    return new Set();
  }
}

/** Those that make the engine fast. */
export const usefulFlags: readonly string[] = [
  "avx2",
  "avx512f",
  "avx512_vnni",
  "avx_vnni",
  "amx_tile",
  "amx_int8",
  "amx_bf16",
];

/** Flags of processors that add up products of bytes in 32 bits. Others add them up in 16, and may overflow. */
const exactFlags: readonly string[] = ["avx512_vnni", "avx_vnni", "amx_int8", "asimddp"];

/** Whether products of uint8 and int8 are exact, and faster than those of float32. */
export function multipliesBytes(): boolean {
  if (process.platform === "darwin" && process.arch === "arm64") return true;
  const flags = processorFlags();
  return exactFlags.some((flag) => flags.has(flag));
}

/** The processors that a control group allows, as Linux's containers have them; undefined: no limit. */
function quota(): number | undefined {
  try {
    const own = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "/";
    const [allowed, period] = readFileSync(join("/sys/fs/cgroup", own, "cpu.max"), "utf8")
      .trim()
      .split(" ");
    return allowed === "max" ? undefined : Number(allowed) / Number(period);
  } catch {
    return undefined;
  }
}

/**
 * Threads for the engine where a container or an affinity allows fewer processors than there are; the engine itself counts all.
 * @param allowed processors that the control group allows
 * @returns 0 where nothing is limited: the engine then takes the physical cores
 */
export function limitedThreads(
  allowed = quota(),
  usable = availableParallelism(),
  all = cpus().length,
): number {
  const most = Math.min(usable, allowed === undefined ? all : Math.max(1, Math.floor(allowed)));
  return most < all ? most : 0;
}
