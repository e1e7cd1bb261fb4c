/** What a backbone tells of an adapter that was made elsewhere. */
import { z } from "zod";
import type { AdapterBackbone } from "../../peft/checkpoint.ts";
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
