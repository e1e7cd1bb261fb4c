/** The methods of the original that are not here, and the flags that only they read. */

interface OtherMethod {
  /** Keeps examples of earlier tasks, or makes some up, to train on them again. */
  readonly replays: boolean;
  readonly flags: readonly string[];
}

/** @param flags those that begin with `_` bear the method's name before it */
const method = (flags = "", replays = false) => ({ replays, flags });
const replay = (flags = "") => method(flags, true);

const methods = {
  SEQ: method(
    "_peft_type _fix_old_classifier _fix_encoder _warmup_epoch_before_fix_encoder _warmup_target _preallocated_classifier _use_prototype_for_prediction",
  ),
  AdapterCL: method(),
  CFNER: method(
    "_student_temperate _teacher_temperate _distill_weight is_fix_trained_classifier is_DCE is_ODCE _top_k _adaptive_distill_weight _adaptive_schedule _max_seq_length",
  ),
  CLSER: replay("_alpha_fast _alpha_slow _freq_fast _freq_slow _lambda"),
  CPFD: method(
    "_student_temperate _teacher_temperate _distill_weight _classif_adaptive_factor _classif_adaptive_min_factor _threshold _adaptive_distill_weight _adaptive_schedule",
  ),
  DERpp: replay("_alpha _beta"),
  DLD: method("_student_temperate _teacher_temperate _distill_weight _weight"),
  DummyModel: method("_alpha"),
  EWC: method("_lambda"),
  ExtendNER: method("_student_temperate _teacher_temperate _distill_weight"),
  ICE: method("_Delta _fix_encoder _fix_old_classifier _O _PLO"),
  ICL: method("_same_instance _same_concept _n_shot"),
  IPEFT: method("_type _fix_old_classifier _fix_old_peft _first_peft_then_cls _causallm_epoch"),
  IS3: method("_student_temperate _teacher_temperate _distill_weight pro_weight grad_weight new_grad_weight"),
  L2KD: replay("_distill_weight _lambda _gamma _topk _temperature"),
  LAMOL: replay("_lambda _gamma _topk _use_task_specific_gen_token"),
  LAMOL_KD: replay("_distill_weight _lambda _gamma _topk _temperature"),
  LFPT5: replay("_distill_weight _lambda _gamma _topk _answertoken_weight"),
  OCILNER: replay(
    "_student_temperate _teacher_temperate _distill_weight _is_replay loss_name1 loss_name2 _beta start_train_o_epoch per_class_samples",
  ),
  PCLL: replay("_KD_lambda _weight_vae_loss _weight_gen_loss _alpha_z _KD_gamma _KD_topk _KD_temperature"),
  ProgPrompt: method("_num_tokens_per_task _use_mlp"),
  RDP: method(
    "_student_temperate _teacher_temperate _proto_temperature _distill_weight _soft_param _regular_param",
  ),
  SelfTrain: method("_student_temperate _distill_weight"),
  SpanKL: method("_student_temperate _teacher_temperate _distill_weight _use_task_embed _hidden_size"),
};

export const otherMethods: Readonly<Record<string, OtherMethod>> = Object.fromEntries(
  Object.entries(methods).map(([name, { replays, flags }]) => {
    const words = flags.split(" ").filter((word) => word !== "");
    return [name, { replays, flags: words.map((word) => (word.startsWith("_") ? name + word : word)) }];
  }),
);

const ownerOf: ReadonlyMap<string, string> = new Map(
  Object.entries(otherMethods).flatMap(([name, { flags }]) => flags.map((flag) => [flag, name] as const)),
);

export function ownerOfFlag(flag: string): string | undefined {
  return ownerOf.get(flag);
}

export const otherFlags: readonly string[] = [...ownerOf.keys()];
