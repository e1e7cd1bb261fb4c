"""Goldens of tiny random encoders beside BERT and RoBERTa, made with real transformers and peft.

    ~/venv-accrete/bin/python tools/goldens/make_families.py [family ...]

Writes tests/goldens/{xlm-roberta,camembert,distilbert,electra,mpnet,modernbert,deberta-v2}; with names those alone.
What each file holds: tests/goldens/README.md. Shapes: B rows, T tokens, D width, C classes.
"""

import sys
from pathlib import Path

from common import (
    GOLDENS,
    Tensors,
    fresh_folder,
    in_float64,
    randomise,
    save_adapter,
    save_both,
    versions,
    write_json,
    write_record,
)

import peft
import torch
import torch.nn.functional as F
import transformers

CLASSES = 4
LENGTHS = [12, 7, 2, 9, 5]
LABELS = torch.tensor([2, 0, 3, 1, 2])
LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0}

BERT_LIKE = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
}
# Positions start at pad + 1, so 42 rows serve 40 tokens.
ROBERTA_LIKE = {
    **BERT_LIKE,
    "max_position_embeddings": 42,
    "layer_norm_eps": 1e-5,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}

CONFIGS = {
    "xlm-roberta": transformers.XLMRobertaConfig(**ROBERTA_LIKE, type_vocab_size=1),
    "camembert": transformers.CamembertConfig(**ROBERTA_LIKE, type_vocab_size=1),
    "distilbert": transformers.DistilBertConfig(
        vocab_size=60, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=40
    ),
    # Word embeddings narrower than the layers.
    "electra": transformers.ElectraConfig(**BERT_LIKE, embedding_size=16, max_position_embeddings=40),
    "mpnet": transformers.MPNetConfig(**ROBERTA_LIKE),
    # Layer 0 sees everything, layers 1 and 2 two tokens to either side.
    "modernbert": transformers.ModernBertConfig(
        **{**BERT_LIKE, "num_hidden_layers": 3},
        max_position_embeddings=40,
        local_attention=4,
        pad_token_id=0,
        cls_token_id=1,
        bos_token_id=1,
        sep_token_id=2,
        eos_token_id=2,
    ),
    # As v3: relative positions alone, in four buckets to either side, shared projections.
    "deberta-v2": transformers.DebertaV2Config(
        **BERT_LIKE,
        max_position_embeddings=40,
        type_vocab_size=0,
        relative_attention=True,
        max_relative_positions=-1,
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
    ),
}
SEEDS = {name: 61 + i for i, name in enumerate(CONFIGS)}
# What peft adapts by its own table, and where it has no entry what Accrete does.
TARGETS = {
    "xlm-roberta": ["query", "value"],
    "camembert": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "electra": ["query", "value"],
    "mpnet": ["q", "v"],
    "modernbert": ["Wqkv"],
    "deberta-v2": ["query_proj", "value_proj"],
}
# The parts of a head that peft saves only when it is told to.
HEAD_PARTS = {
    ("distilbert", "SEQ_CLS"): ["pre_classifier"],
    ("modernbert", "SEQ_CLS"): ["head"],
    ("modernbert", "TOKEN_CLS"): ["head"],
    ("deberta-v2", "SEQ_CLS"): ["pooler"],
}
# DeBERTa and MPNet compute their scores in one way alone.
ATTENTION = {"deberta-v2": "eager", "mpnet": "eager"}
HEADS = {
    "SEQ_CLS": ("seqcls", transformers.AutoModelForSequenceClassification),
    "TOKEN_CLS": ("tokcls", transformers.AutoModelForTokenClassification),
}


def make_inputs(config: transformers.PretrainedConfig) -> Tensors:
    """input_ids, attention_mask (B, T) int64, padded on the right; token_type_ids where the model knows segments."""
    generator = torch.Generator().manual_seed(11)
    length = max(LENGTHS)
    ids = torch.randint(3, config.vocab_size, (len(LENGTHS), length), generator=generator)
    mask = (torch.arange(length)[None, :] < torch.tensor(LENGTHS)[:, None]).long()
    ids[:, 0] = 0 if config.pad_token_id else 2
    ids = torch.where(mask == 1, ids, torch.full_like(ids, config.pad_token_id))
    if getattr(config, "type_vocab_size", 0) < 2:
        return {"input_ids": ids, "attention_mask": mask}
    second = torch.arange(length)[None, :] >= (torch.tensor(LENGTHS)[:, None] + 1) // 2
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (second & (mask == 1)).long()}


def load(folder: Path, auto: type, **settings: object) -> torch.nn.Module:
    # Not "eager" where there is a choice: some softmaxes are in float32 there whatever the model's type.
    attention = ATTENTION.get(folder.name, "sdpa")
    return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention, **settings).eval()


def add_lora(base: torch.nn.Module, task_type: str) -> peft.PeftModel:
    kind = base.config.model_type
    parts = HEAD_PARTS.get((kind, task_type))
    config = peft.LoraConfig(**LORA, task_type=task_type, target_modules=TARGETS[kind], modules_to_save=parts)
    model = peft.get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(37)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise if "norm" in name else noise)
    return model


def with_token_types(tensors: Tensors) -> Tensors:
    """The tests feed segments to every model; one that has none is fed zeros."""
    return {"token_type_ids": torch.zeros_like(tensors["input_ids"]), **tensors}


def forward_golden(folder: Path, inputs: Tensors) -> None:
    def tensors(double: bool) -> Tensors:
        model = load(folder, transformers.AutoModel)
        model = in_float64(model) if double else model
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        hidden = {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}
        last = output.last_hidden_state
        weights = inputs["attention_mask"].to(last.dtype)[:, :, None]  # (B, T, 1)
        features = {"feature.cls": last[:, 0], "feature.mean": (last * weights).sum(1) / weights.sum(1)}
        if getattr(output, "pooler_output", None) is not None:
            features["feature.pooler"] = output.pooler_output
        return {**with_token_types(inputs), **hidden, **features}

    save_both(folder, "golden-forward", tensors(False), tensors(True))


def training_golden(folder: Path, inputs: Tensors) -> None:
    """Loss and all gradients of a linear head on [CLS], under LoRA."""

    def tensors(double: bool) -> Tensors:
        model = add_lora(load(folder, transformers.AutoModel), "FEATURE_EXTRACTION")
        generator = torch.Generator().manual_seed(23)
        width = model.config.hidden_size
        head = torch.nn.Linear(width, CLASSES)
        with torch.no_grad():
            head.weight.copy_(0.3 * torch.randn(CLASSES, width, generator=generator))
            head.bias.copy_(0.3 * torch.randn(CLASSES, generator=generator))
        if double:
            model, head = in_float64(model), head.double()
        feature = model(**inputs).last_hidden_state[:, 0]
        logits = head(feature)
        loss = F.cross_entropy(logits, LABELS)
        loss.backward()
        trained = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
        trained |= {f"head.{n}": p for n, p in head.named_parameters()}
        found = {"labels": LABELS, "feature": feature, "logits": logits, "loss": loss}
        for name, parameter in trained.items():
            found[f"param.{name}"] = parameter
            found[f"grad.{name}"] = parameter.grad
        return {**with_token_types(inputs), **found}

    save_both(folder, "golden-lora-cls-linear", tensors(False), tensors(True))


def head_golden(folder: Path, inputs: Tensors, task_type: str) -> None:
    """peft-seqcls or peft-tokcls, Hugging Face's own head inside, and the logits that it gives."""
    name, auto = HEADS[task_type]

    def make() -> peft.PeftModel:
        return add_lora(load(folder, auto, num_labels=CLASSES), task_type)

    def tensors(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        with torch.no_grad():
            logits = model(**inputs).logits
        # Of tokens, zero at padding.
        real = inputs["attention_mask"][:, :, None] if task_type == "TOKEN_CLS" else 1
        return {**with_token_types(inputs), "logits": logits * real}

    save_both(folder, f"golden-peft-{name}", tensors(False), tensors(True))
    save_adapter(make(), folder, f"peft-{name}")


def relative_positions() -> None:
    """The bucket of every distance, query - key, from -511 to 511."""
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    distances = torch.arange(-511, 512)
    buckets = {
        "mpnet": MPNetEncoder.relative_position_bucket(-distances).tolist(),
        "deberta": make_log_bucket_position(distances, 256, 512).long().tolist(),
    }
    write_json(GOLDENS / "relative-positions.json", {"versions": versions(), **buckets})


def main() -> None:
    relative_positions()
    for name in sys.argv[1:] or CONFIGS:
        config = CONFIGS[name]
        folder = fresh_folder(GOLDENS / name)
        model = transformers.AutoModel.from_config(config).eval()
        randomise(model, SEEDS[name])
        model.save_pretrained(folder)
        inputs = make_inputs(model.config)
        forward_golden(folder, inputs)
        training_golden(folder, inputs)
        for task_type in HEADS:
            head_golden(folder, inputs, task_type)
        lora = {"rank": LORA["r"], "alpha": LORA["lora_alpha"], "targetModules": TARGETS[name]}
        case = {"feature": "cls", "head": "linear", "bias": "none", "zeroGradients": []}
        scalars = {"classes": CLASSES, "lengths": LENGTHS, "lora": lora, "cases": {"lora-cls-linear": case}}
        write_record(folder / "golden.json", scalars)


if __name__ == "__main__":
    main()
