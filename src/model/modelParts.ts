import type { Selection } from "../continual/newlora/selection.ts";
import type { SelectionRouting } from "../continual/newlora/selectionRouting.ts";
import type { TaskRouting } from "../continual/routing/taskRouting.ts";
import type { EncodedItems, TaskType } from "../continual/taskTypes/taskType.ts";
import type { EncodedTexts } from "../continual/taskTypes/textClassification.ts";
import type { LearnedTask, LoadedBackbone } from "../continual/types.ts";
import type { ModelSettings } from "./settings/settings.ts";
import type { ModelState, TaskState } from "./state.ts";

/** What a model is put together from. */
export interface ModelParts<E extends EncodedItems, R> {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  /** What answers. */
  readonly type: TaskType<E>;
  /** What learns, opened when something is to be learned; the same as `type`, or with sessions of its own. */
  readonly openTeacher: () => TaskType<E>;
  /** Routes by statistics of classes. */
  readonly statistics?: TaskRouting<E, R> | undefined;
  /** NewLoRA's network. */
  readonly selection?:
    | {
        readonly network: Selection;
        /** Absent where nothing asks the network. */
        readonly routing?: SelectionRouting;
        /** Of the same texts as `type` encodes them. */
        readonly asTexts: (encoded: E) => EncodedTexts;
      }
    | undefined;
  /** Labels that are expected beside those learned so far. */
  readonly expectedLabels?: readonly string[] | undefined;
}

/** Tasks with an adapter, in the order of learning. */
export function learnedTasks({ tasks }: ModelState): readonly LearnedTask[] {
  return tasks.flatMap(({ learned }) => learned ?? []);
}

/** NewLoRA's network after the newest task. */
export function selectorOf({ tasks }: ModelState): TaskState["selector"] {
  return tasks.findLast(({ selector }) => selector !== undefined)?.selector;
}
