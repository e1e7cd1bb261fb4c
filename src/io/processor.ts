import { readFileSync } from "node:fs";

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

/** Flags of processors that add up products of bytes in 32 bits. Others add them up in 16, and may overflow. */
const exactFlags: readonly string[] = ["avx512_vnni", "avx_vnni", "amx_int8", "asimddp"];

/** Whether products of uint8 and int8 are exact, and faster than those of float32. */
export function multipliesBytes(): boolean {
  if (process.platform === "darwin" && process.arch === "arm64") return true;
  const flags = processorFlags();
  return exactFlags.some((flag) => flags.has(flag));
}
