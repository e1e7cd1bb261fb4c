/** How each kind of adapter lies in peft's two files, in one table. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import type { AdapterHost } from "./adapterMethod.ts";
import { adaptedSites, checkLora, checkPrompt, type Tensors } from "./checkpointChecks.ts";
import { encodeLoraConfig, parseLoraConfig, type TaskType, taskTypes } from "./checkpointConfig.ts";
import { fileKey, isTable } from "./checkpointKeys.ts";
import { encodePromptConfig, parsePromptConfig } from "./checkpointPrompt.ts";
import { specForFile, specFromFile } from "./checkpointSpec.ts";
import type { Adapter, AdapterKind, AdapterOfKind, SavedAdapter } from "./types.ts";

/** What a configuration tells, before the tensors are read. */
export interface AdapterConfig {
  readonly kind: AdapterKind;
  /** Absent where the configuration names none. */
  readonly taskType?: TaskType;
  readonly baseModel: string;
  /** `BertModel` and the like, where peft noted it. */
  readonly baseModelClass?: string;
  readonly depth?: NonNullable<SavedAdapter["depth"]>;
  /**
   * @param tensors the adapter's, in AutoModel's names
   * @param prefix what stands before these names in the file; may be empty
   */
  toAdapter(tensors: Tensors, prefix: string): Adapter;
}

type KindConfig = Pick<AdapterConfig, "toAdapter" | "depth">;

/** The model that peft is to wrap: which class, and what it puts before AutoModel's paths. */
export interface Wrapped {
  readonly taskType: TaskType;
  /** Empty for a model without a head. */
  readonly prefix: string;
}

interface AdapterFormat<K extends AdapterKind> {
  readonly peftType: string;
  encodeConfig(saved: SavedAdapter, adapter: AdapterOfKind<K>, wrapped: Wrapped): string;
  /** The adapter's tensors by peft's names. */
  encodeTensors(adapter: AdapterOfKind<K>, prefix: string): Map<string, HostTensor>;
  parseConfig(json: unknown, path: string): KindConfig;
  check(adapter: AdapterOfKind<K>, where: string, host?: AdapterHost): void;
}

const formats: { readonly [K in AdapterKind]: AdapterFormat<K> } = {
  lora: {
    peftType: "LORA",
    encodeConfig: (saved, adapter, { taskType, prefix }) => {
      const sites = adaptedSites(adapter.tensors.keys());
      const spec = specForFile(adapter.spec, saved.pooling, sites, prefix);
      return encodeLoraConfig(spec, taskType, saved);
    },
    encodeTensors: ({ tensors }, prefix) => {
      const sites = adaptedSites(tensors.keys());
      return new Map([...tensors].map(([name, tensor]) => [fileKey(name, sites, prefix), tensor]));
    },
    parseConfig: (json, path) => {
      const config = parseLoraConfig(json, path);
      return {
        toAdapter: (tensors, prefix) => {
          const spec = specFromFile(config, adaptedSites(tensors.keys()), prefix);
          const replaced = [...tensors]
            .filter(([name]) => isTable(name))
            .map(([name, { dims }]) => ({ name, dims }));
          return { kind: "lora", spec: { ...spec, ...(replaced.length > 0 && { replaced }) }, tensors };
        },
      };
    },
    check: ({ spec, tensors }, where, host) => checkLora(spec, tensors, where, host),
  },
  "prompt-tuning": {
    peftType: "PROMPT_TUNING",
    encodeConfig: (saved, adapter, { taskType }) => encodePromptConfig(saved, adapter, taskType),
    encodeTensors: ({ tensors }) => new Map(tensors),
    parseConfig: (json, path) => {
      const { spec, depth } = parsePromptConfig(json, path);
      return { toAdapter: (tensors) => ({ kind: "prompt-tuning", spec, tensors }), ...(depth && { depth }) };
    },
    check: ({ spec, tensors }, where, host) => checkPrompt(spec, tensors, where, host),
  },
};

/** An adapter that tells its own kind, so that the table's entry for it takes it. */
type Tagged<K extends AdapterKind> = AdapterOfKind<K> & { readonly kind: K };

/**
 * @param host the backbone's layers: with it, what is missing or surplus is known exactly, and every size
 * @throws CheckpointError naming missing, surplus and misshapen tensors.
 */
export function checkAdapter<K extends AdapterKind>(
  adapter: Tagged<K>,
  where: string,
  host?: AdapterHost,
): void {
  formats[adapter.kind].check(adapter, where, host);
}

/** The configuration's text and the adapter's tensors as peft writes them. */
export function encodeAdapter<K extends AdapterKind>(
  saved: SavedAdapter,
  adapter: Tagged<K>,
  wrapped: Wrapped,
): { readonly config: string; readonly tensors: Map<string, HostTensor> } {
  const format = formats[adapter.kind];
  return {
    config: format.encodeConfig(saved, adapter, wrapped),
    tensors: format.encodeTensors(adapter, wrapped.prefix),
  };
}

const kinds: readonly AdapterKind[] = ["lora", "prompt-tuning"];

const frameSchema = z.looseObject({
  peft_type: z.string(),
  task_type: z.string().nullish(),
  base_model_name_or_path: z.string().nullish(),
  auto_mapping: z.looseObject({ base_model_class: z.string().nullish() }).nullish(),
});

function parseTaskType(value: string | null | undefined, path: string): TaskType | undefined {
  if (value === undefined || value === null) return undefined;
  const known = taskTypes.find((each) => each === value);
  if (known !== undefined) return known;
  throw new CheckpointError(
    `${path}: task_type ${value} is not supported (supported: ${taskTypes.join(", ")})`,
  );
}

/** @throws CheckpointError if it is no configuration of peft's, or asks for something that Accrete does not have. */
export function parseAdapterConfig(text: string, path: string): AdapterConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path}: is not JSON`, { cause });
  }
  const parsed = frameSchema.safeParse(json);
  if (!parsed.success)
    throw new CheckpointError(`${path}: is no configuration of peft's:\n${z.prettifyError(parsed.error)}`);
  const frame = parsed.data;
  const kind = kinds.find((each) => formats[each].peftType === frame.peft_type);
  if (kind === undefined)
    throw new CheckpointError(
      `${path}: peft_type ${frame.peft_type} is not supported (supported: ${kinds.map((each) => formats[each].peftType).join(", ")})`,
    );
  const own = formats[kind].parseConfig(json, path);
  const baseModelClass = frame.auto_mapping?.base_model_class;
  const taskType = parseTaskType(frame.task_type, path);
  return {
    ...own,
    kind,
    ...(taskType && { taskType }),
    baseModel: frame.base_model_name_or_path ?? "",
    ...(baseModelClass && { baseModelClass }),
  };
}
