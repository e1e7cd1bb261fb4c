/** The methods of the original that are not here, and the flags that only they read. */

interface OtherMethod {
  /** Keeps examples of earlier tasks, or makes some up, to train on them again. */
  readonly replays: boolean;
  readonly flags: readonly string[];
}

const words = (text: string): readonly string[] => text.split(" ").filter((word) => word !== "");

const method = (flags = "", replays = false): OtherMethod => ({ replays, flags: words(flags) });
const replay = (flags = ""): OtherMethod => method(flags, true);

export const otherMethods: Readonly<Record<string, OtherMethod>> = {
  SEQ: method(
    "SEQ_peft_type SEQ_fix_old_classifier SEQ_fix_encoder SEQ_warmup_epoch_before_fix_encoder " +
      "SEQ_warmup_target SEQ_preallocated_classifier SEQ_use_prototype_for_prediction",
  ),
  AdapterCL: method(),
  CFNER: method(
    "CFNER_student_temperate CFNER_teacher_temperate CFNER_distill_weight is_fix_trained_classifier is_DCE " +
      "is_ODCE CFNER_top_k CFNER_adaptive_distill_weight CFNER_adaptive_schedule CFNER_max_seq_length",
  ),
  CLSER: replay("CLSER_alpha_fast CLSER_alpha_slow CLSER_freq_fast CLSER_freq_slow CLSER_lambda"),
  CPFD: method(
    "CPFD_student_temperate CPFD_teacher_temperate CPFD_distill_weight CPFD_classif_adaptive_factor " +
      "CPFD_classif_adaptive_min_factor CPFD_threshold CPFD_adaptive_distill_weight CPFD_adaptive_schedule",
  ),
  DERpp: replay("DERpp_alpha DERpp_beta"),
  DLD: method("DLD_student_temperate DLD_teacher_temperate DLD_distill_weight DLD_weight"),
  DummyModel: method("DummyModel_alpha"),
  EWC: method("EWC_lambda"),
  ExtendNER: method("ExtendNER_student_temperate ExtendNER_teacher_temperate ExtendNER_distill_weight"),
  ICE: method("ICE_Delta ICE_fix_encoder ICE_fix_old_classifier ICE_O ICE_PLO"),
  ICL: method("ICL_same_instance ICL_same_concept ICL_n_shot"),
  IPEFT: method(
    "IPEFT_type IPEFT_fix_old_classifier IPEFT_fix_old_peft IPEFT_first_peft_then_cls IPEFT_causallm_epoch",
  ),
  IS3: method(
    "IS3_student_temperate IS3_teacher_temperate IS3_distill_weight pro_weight grad_weight new_grad_weight",
  ),
  L2KD: replay("L2KD_distill_weight L2KD_lambda L2KD_gamma L2KD_topk L2KD_temperature"),
  LAMOL: replay("LAMOL_lambda LAMOL_gamma LAMOL_topk LAMOL_use_task_specific_gen_token"),
  LAMOL_KD: replay(
    "LAMOL_KD_distill_weight LAMOL_KD_lambda LAMOL_KD_gamma LAMOL_KD_topk LAMOL_KD_temperature",
  ),
  LFPT5: replay("LFPT5_distill_weight LFPT5_lambda LFPT5_gamma LFPT5_topk LFPT5_answertoken_weight"),
  OCILNER: replay(
    "OCILNER_student_temperate OCILNER_teacher_temperate OCILNER_distill_weight OCILNER_is_replay loss_name1 " +
      "loss_name2 OCILNER_beta start_train_o_epoch per_class_samples",
  ),
  PCLL: replay(
    "PCLL_KD_lambda PCLL_weight_vae_loss PCLL_weight_gen_loss PCLL_alpha_z PCLL_KD_gamma PCLL_KD_topk " +
      "PCLL_KD_temperature",
  ),
  ProgPrompt: method("ProgPrompt_num_tokens_per_task ProgPrompt_use_mlp"),
  RDP: method(
    "RDP_student_temperate RDP_teacher_temperate RDP_proto_temperature RDP_distill_weight RDP_soft_param " +
      "RDP_regular_param",
  ),
  SelfTrain: method("SelfTrain_student_temperate SelfTrain_distill_weight"),
  SpanKL: method(
    "SpanKL_student_temperate SpanKL_teacher_temperate SpanKL_distill_weight SpanKL_use_task_embed SpanKL_hidden_size",
  ),
};

const ownerOf: ReadonlyMap<string, string> = new Map(
  Object.entries(otherMethods).flatMap(([name, { flags }]) => flags.map((flag) => [flag, name] as const)),
);

/** The method that reads a flag which PEFT does not. */
export function ownerOfFlag(flag: string): string | undefined {
  return ownerOf.get(flag);
}

export const otherFlags: readonly string[] = [...ownerOf.keys()];
