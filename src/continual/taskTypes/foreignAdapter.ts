/** What a backbone tells of an adapter that was made elsewhere. */
import { z } from "zod";
import { float32, type HostTensor } from "../../core/tensor.ts";
import { OUTSIDE } from "../../data/files/tags.ts";
import { type AdapterBackbone, type ReadPeftOptions, readPeftFolder } from "../../peft/checkpoint.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import type { LoadedBackbone } from "../types.ts";

const schema = z.looseObject({ id2label: z.record(z.string().regex(/^\d+$/), z.string()).nullish() });

/** Names of classes in config.json, by slot; undefined where it has none but Hugging Face's placeholders. */
function labelsOf(config: unknown): readonly string[] | undefined {
  const named = schema.safeParse(config).data?.id2label ?? {};
  const slots = Object.keys(named).map(Number);
  const labels = slots.map((_, slot) => named[String(slot)]);
  const whole = labels.filter((label) => label !== undefined);
  const placeholders = whole.every((label, slot) => label === `LABEL_${slot}`);
  return whole.length !== slots.length || placeholders ? undefined : whole;
}

/** Rows of a matrix, or of a vector, in another order. */
function permuted(tensor: HostTensor<"float32">, order: readonly number[]): HostTensor<"float32"> {
  const width = tensor.data.length / order.length;
  const rows = order.map((row) => tensor.data.subarray(row * width, (row + 1) * width));
  return float32(Float32Array.from(rows.flatMap((row) => [...row])), tensor.dims);
}

/** The same head with `O` in its first slot, where those of Accrete have it. */
function outsideFirst(saved: SavedAdapter): SavedAdapter {
  const { head, labels } = saved;
  const at = labels.indexOf(OUTSIDE);
  if (saved.level !== "word" || head === undefined || at <= 0) return saved;
  const order = [at, ...[...labels.keys()].filter((slot) => slot !== at)];
  const perClass = ([name, tensor]: readonly [string, HostTensor<"float32">]) =>
    [name, name === "weight" || name === "bias" ? permuted(tensor, order) : tensor] as const;
  return {
    ...saved,
    labels: order.map((slot) => labels[slot] ?? ""),
    head: { ...head, tensors: new Map([...head.tensors].map(perClass)) },
  };
}

/** What a caller says of an adapter that does not say it. */
export interface AdapterLabels {
  /** Names of the head's classes in its order; default: `id2label` of the backbone's config.json. */
  readonly labels?: readonly string[] | undefined;
}

/** What {@link readPeftFolder} asks of the backbone. */
export function adapterBackbone({ folder, backbone }: LoadedBackbone): AdapterBackbone {
  const labels = labelsOf(folder.config);
  const classifier = backbone.kind === "encoder" ? backbone.classifier : undefined;
  return {
    architecture: backbone.config.architecture,
    where: folder.path,
    headWeights: backbone.headWeights,
    ...(labels && { labels }),
    ...(classifier && { classifier }),
  };
}

/**
 * Reads an adapter folder with what its backbone tells of it.
 * @param options what the caller knows of an adapter that does not say; undefined where nothing
 * @throws CheckpointError as {@link readPeftFolder}
 */
export async function readAdapterFor(
  loaded: LoadedBackbone,
  folder: string,
  options: { readonly [K in "labels" | "level" | "pooling" | "normalize"]?: ReadPeftOptions[K] | undefined },
): Promise<SavedAdapter> {
  const { labels, level, pooling, normalize } = options;
  const saved = await readPeftFolder(folder, {
    backbone: adapterBackbone(loaded),
    ...(labels !== undefined && { labels }),
    ...(level !== undefined && { level }),
    ...(pooling !== undefined && { pooling }),
    ...(normalize !== undefined && { normalize }),
  });
  return outsideFirst(saved);
}
