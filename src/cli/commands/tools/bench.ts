import { cpus } from "node:os";
import { fastest, measureCeilings } from "../../../benchmark/speed/ceilings.ts";
import { openStep } from "../../../benchmark/speed/steps.ts";
import { collectVersions } from "../../../core/packageInfo.ts";
import { SHIPPED_MODEL } from "../../../io/models/modelFolder.ts";
import { multipliesBytes, processorFlags, usefulFlags } from "../../../io/processor.ts";
import { loadBackbone } from "../../../model/settings/backbone.ts";
import { formatPairs, formatTable } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface BenchFlags {
  readonly backbone?: string;
  readonly threads: number;
  readonly json?: boolean;
}

const shapes = [
  [4, 16],
  [32, 32],
] as const;
const ROUNDS = 8;

interface Row {
  readonly work: "train" | "eval";
  readonly batch: number;
  readonly tokens: number;
  readonly precision: "fp32" | "int8";
  readonly milliseconds: number;
  /** Of the measured rate of products in that precision. */
  readonly shareOfCeiling: number;
}

const giga = (rate: number) => `${(rate / 1e9).toFixed(0)}`;

/** Measures the machine's ceilings, and steps of a backbone with LoRA beside them. */
export async function benchCommand(flags: BenchFlags, terminal: Terminal): Promise<void> {
  const { threads, backbone: model = SHIPPED_MODEL } = flags;
  // Before anything is measured in vain.
  await loadBackbone(model);
  terminal.err(`measuring products and copies with ${threads} threads\n`);
  const ceilings = await measureCeilings(threads);
  const rows: Row[] = [];
  for (const precision of multipliesBytes() ? (["fp32", "int8"] as const) : (["fp32"] as const)) {
    const { backbone } = await loadBackbone(model, { precision });
    const ceiling = precision === "int8" ? (ceilings.int8 ?? ceilings.float32) : ceilings.float32;
    for (const work of ["train", "eval"] as const)
      for (const [batch, tokens] of shapes) {
        terminal.err(`measuring ${work}, ${batch} × ${tokens} tokens, ${precision}\n`);
        await using step = await openStep(backbone, work, { batch, tokens, threads });
        const seconds = await fastest(async () => void (await step.run()), ROUNDS);
        const shareOfCeiling = step.operations / seconds / ceiling;
        rows.push({ work, batch, tokens, precision, milliseconds: 1000 * seconds, shareOfCeiling });
      }
  }
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const processor = cpus()[0]?.model.trim() ?? "unknown";
  const features = usefulFlags.filter((flag) => processorFlags().has(flag));
  if (flags.json === true) {
    const versions = collectVersions();
    const measured = {
      processor,
      features,
      threads,
      versions,
      ceilings,
      backbone: model,
      rows,
      peakBytes,
    };
    terminal.out(`${JSON.stringify(measured)}\n`);
    return;
  }
  const pairs = [
    ["processor", `${processor}, ${features.join(" ") || "no AVX2, AVX-512 or AMX"}`],
    ["threads", String(threads)],
    [
      "products",
      `${giga(ceilings.float32)} GFLOPS in fp32, ${ceilings.int8 === undefined ? "none in int8" : `${giga(ceilings.int8)} GOPS in int8`}`,
    ],
    ["copies", `${giga(ceilings.copy)} GB/s`],
    ["backbone", model],
    ["peak memory", `${(peakBytes / 1e6).toFixed(0)} MB`],
  ] as const;
  const table = formatTable(
    [
      ["work", "texts × tokens", "precision", "ms", "of the ceiling"],
      ...rows.map(({ work, batch, tokens, precision, milliseconds, shareOfCeiling }) => [
        work,
        `${batch} × ${tokens}`,
        precision,
        milliseconds.toFixed(1),
        `${(100 * shareOfCeiling).toFixed(0)} %`,
      ]),
    ],
    [3, 4],
  );
  terminal.out(`${formatPairs(pairs)}\n${table}`);
}
