"""Goldens of tiny random BERT and RoBERTa, made with real transformers and peft.

    ~/venv-accrete/bin/python tools/goldens/make_encoders.py

Writes tests/goldens/{bert,bert-seqcls,bert-sharded,bert-f16,bert-bf16,roberta,roberta-seqcls}.
What each file holds: tests/goldens/README.md. Shapes: B rows, T tokens, D width, R rank, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import (
    GOLDENS,
    Tensors,
    adamw_scalars,
    adamw_steps,
    check_sizes,
    fresh_folder,
    randomise,
    save_adapter,
    save_both,
    save_tensors,
    write_record,
)

import peft
import torch
import torch.nn.functional as F
import transformers

CLASSES = 4
LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0, "target_modules": ["query", "value"]}
LENGTHS = [12, 7, 2, 9, 5]
MAX_NORM = 0.5
COSINE_SCALE = 4.0
LABELS = torch.tensor([2, 0, 3, 1, 2])


def bert_config() -> transformers.BertConfig:
    return transformers.BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=40,
        type_vocab_size=2,
        pad_token_id=0,
    )


def roberta_config() -> transformers.RobertaConfig:
    # Positions start at pad + 1, so 42 rows serve 40 tokens.
    return transformers.RobertaConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=42,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def make_inputs(config: transformers.PretrainedConfig) -> Tensors:
    """input_ids, attention_mask, token_type_ids (B, T) int64, padded on the right."""
    generator = torch.Generator().manual_seed(11)
    length = max(LENGTHS)
    ids = torch.randint(3, config.vocab_size, (len(LENGTHS), length), generator=generator)
    mask = (torch.arange(length)[None, :] < torch.tensor(LENGTHS)[:, None]).long()
    ids[:, 0] = 2 if config.model_type == "bert" else 0
    ids = torch.where(mask == 1, ids, torch.full_like(ids, config.pad_token_id))
    second = torch.arange(length)[None, :] >= (torch.tensor(LENGTHS)[:, None] + 1) // 2
    types = (second & (mask == 1)).long() if config.type_vocab_size > 1 else torch.zeros_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


# Features, from the last hidden state h (B, T, D) and the mask m (B, T); each (B, D).


def pool_mean(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    weights = m.to(h.dtype)[:, :, None]  # (B, T, 1)
    return (h * weights).sum(1) / weights.sum(1)


def pool(feature: str, output: object, m: torch.Tensor) -> torch.Tensor:
    h = output.last_hidden_state
    if feature == "cls":
        return h[:, 0]
    if feature == "last":
        return h[torch.arange(h.shape[0]), m.sum(1) - 1]
    if feature == "pooler":
        return output.pooler_output
    if feature == "mean":
        return pool_mean(h, m)
    if feature == "meanL2":
        return F.normalize(pool_mean(h, m), dim=-1)
    raise ValueError(feature)


class Head(torch.nn.Module):
    """linear, cosine (both sides normalised, learnable scale) or RoBERTa's dense head, on features (B, D)."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        generator = torch.Generator().manual_seed(23)

        def draw(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(0.3 * torch.randn(*shape, generator=generator))

        if kind == "dense":
            self.dense = torch.nn.Linear(width, width)
            self.out_proj = torch.nn.Linear(width, CLASSES)
            self.dense.weight, self.dense.bias = draw(width, width), draw(width)
            self.out_proj.weight, self.out_proj.bias = draw(CLASSES, width), draw(CLASSES)
            return
        self.weight = draw(CLASSES, width)
        if kind == "cosine":
            self.scale = torch.nn.Parameter(torch.tensor(COSINE_SCALE))
        else:
            self.bias = draw(CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, D) -> (B, C)
        if self.kind == "dense":
            return self.out_proj(torch.tanh(self.dense(x)))
        if self.kind == "cosine":
            return self.scale * (F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=-1).T)
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Case:
    """One training golden: what is trained, on which feature, through which head."""

    name: str
    feature: str
    head: str
    bias: str = "none"
    steps: bool = False


BERT_CASES = [
    Case("lora-mean-linear", "mean", "linear", steps=True),
    Case("lora-cls-linear", "cls", "linear"),
    Case("lora-last-linear", "last", "linear"),
    Case("lora-meanL2-linear", "meanL2", "linear"),
    Case("lora-pooler-linear", "pooler", "linear"),
    Case("lora-mean-cosine", "mean", "cosine", steps=True),
    Case("lora-bias-all", "mean", "linear", bias="all"),
    Case("lora-bias-lora_only", "mean", "linear", bias="lora_only", steps=True),
]
ROBERTA_CASES = [
    Case("lora-mean-linear", "mean", "linear", steps=True),
    Case("lora-cls-dense", "cls", "dense", steps=True),
    Case("lora-mean-cosine", "mean", "cosine"),
    Case("lora-bias-all", "mean", "linear", bias="all"),
]


def load_backbone(folder: Path) -> torch.nn.Module:
    return transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def draw_adapter(model: peft.PeftModel) -> None:
    """Non-zero A and B, and trained biases away from the base's: zeros would make every comparison vacuous."""
    generator = torch.Generator().manual_seed(37)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if "lora_" in name:
                parameter.copy_(0.3 * noise)
            elif name.endswith("bias") and "classifier" not in name:
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(0.3 * noise)


def add_lora(base: torch.nn.Module, **settings: object) -> peft.PeftModel:
    config = peft.LoraConfig(**{**LORA, "task_type": "FEATURE_EXTRACTION", **settings})
    model = peft.get_peft_model(base, config).eval()
    draw_adapter(model)
    return model


def trained_parameters(model: peft.PeftModel, head: Head) -> dict[str, torch.nn.Parameter]:
    """Keys as in peft's files (without the adapter's name), the head's under `head.`."""
    adapter = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    return {**adapter, **{f"head.{n}": p for n, p in head.named_parameters()}}


def hidden_states(output: object) -> Tensors:
    return {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}


def forward_golden(folder: Path, inputs: Tensors, with_pooler: bool = True) -> None:
    def tensors(double: bool) -> Tensors:
        model = load_backbone(folder)
        model = model.double() if double else model
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        features = ["cls", "mean", "last", "meanL2", *(["pooler"] if with_pooler else [])]
        pooled = {f"feature.{f}": pool(f, output, inputs["attention_mask"]) for f in features}
        return {**inputs, **hidden_states(output), **pooled}

    save_both(folder, "golden-forward", tensors(False), tensors(True))


def without_gradient(folder: Path, case: Case, parameters: dict[str, torch.nn.Parameter]) -> list[str]:
    """Trained names whose gradient is zero by the maths, checked to be so.

    Softmax does not see a constant added to a row of scores, so d loss / d key.bias = 0; the pooler's bias is not
    on the way to a loss that does not read the pooler.
    """
    names = []
    for name, parameter in parameters.items():
        unused = "pooler" in name and case.feature != "pooler"
        if not unused and not name.endswith("key.bias"):
            continue
        if parameter.grad is not None and parameter.grad.abs().max() > 1e-6:
            raise SystemExit(f"{folder.name}/{case.name}: {name} was expected to have no gradient")
        names.append(name)
    return names


def case_tensors(folder: Path, case: Case, inputs: Tensors, double: bool) -> tuple[Tensors, list[str]]:
    model = add_lora(load_backbone(folder), bias=case.bias)
    head = Head(case.head, model.config.hidden_size)
    if double:
        model, head = model.double(), head.double()
    parameters = trained_parameters(model, head)
    output = model(**inputs)
    feature = pool(case.feature, output, inputs["attention_mask"])
    logits = head(feature)
    loss = F.cross_entropy(logits, LABELS)
    loss.backward()
    zero = without_gradient(folder, case, parameters)
    tensors = {**inputs, "labels": LABELS, "feature": feature, "logits": logits, "loss": loss}
    for name, parameter in parameters.items():
        tensors[f"param.{name}"] = parameter
        if name not in zero:
            tensors[f"grad.{name}"] = parameter.grad
    return tensors, zero


def step_tensors(folder: Path, case: Case, inputs: Tensors, clip: bool, double: bool) -> Tensors:
    model = add_lora(load_backbone(folder), bias=case.bias)
    head = Head(case.head, model.config.hidden_size)
    if double:
        model, head = model.double(), head.double()
    parameters = trained_parameters(model, head)

    def loss() -> torch.Tensor:
        return F.cross_entropy(head(pool(case.feature, model(**inputs), inputs["attention_mask"])), LABELS)

    steps = adamw_steps(parameters, loss, MAX_NORM if clip else float("inf"))
    tensors = {**inputs, "labels": LABELS, **steps}
    if clip and not (tensors["gradNorm"] > MAX_NORM).any():
        raise SystemExit(f"{folder.name}/{case.name}: clipping never acts")
    return tensors


def full_golden(folder: Path, inputs: Tensors) -> list[str]:
    """Gradients of every backbone parameter: cross-entropy of a linear head on the mean feature, no adapter."""
    case = Case("full-mean-linear", "mean", "linear")
    zero: list[str] = []

    def tensors(double: bool) -> Tensors:
        model = load_backbone(folder)
        head = Head(case.head, model.config.hidden_size)
        if double:
            model, head = model.double(), head.double()
        logits = head(pool(case.feature, model(**inputs), inputs["attention_mask"]))
        loss = F.cross_entropy(logits, LABELS)
        loss.backward()
        parameters = {**dict(model.named_parameters()), **{f"head.{n}": p for n, p in head.named_parameters()}}
        zero[:] = without_gradient(folder, case, parameters)
        # Weights are in model.safetensors under these names; only the head's need a copy here.
        heads = {f"param.head.{n}": p for n, p in head.named_parameters()}
        grads = {f"grad.{n}": p.grad for n, p in parameters.items() if n not in zero}
        return {**inputs, "labels": LABELS, "logits": logits, "loss": loss, **heads, **grads}

    save_both(folder, f"golden-{case.name}", tensors(False), tensors(True))
    return zero


def adapter_golden(folder: Path, name: str, make: Callable[[], peft.PeftModel], inputs: Tensors) -> None:
    """peft-<name>/ and the hidden states (and logits, where the head is inside) that it gives."""

    def tensors(double: bool) -> Tensors:
        model = make()
        model = model.double() if double else model
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        logits = {"logits": output.logits} if hasattr(output, "logits") else {}
        return {**inputs, **hidden_states(output), **logits}

    save_both(folder, f"golden-peft-{name}", tensors(False), tensors(True))
    save_adapter(make(), folder, f"peft-{name}")


def classifier_with_lora(folder: Path) -> peft.PeftModel:
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=CLASSES, dtype=torch.float32, attn_implementation="eager"
    )
    return add_lora(base, task_type="SEQ_CLS")


def adapter_goldens(folder: Path, inputs: Tensors) -> None:
    def on_backbone(**settings: object) -> Callable[[], peft.PeftModel]:
        return lambda: add_lora(load_backbone(folder), **settings)

    patterns = {
        "use_rslora": True,
        "rank_pattern": {"layer.0.attention.self.query": 2},
        "alpha_pattern": {"layer.1.attention.self.value": 5},
    }
    adapter_golden(folder, "seqcls", lambda: classifier_with_lora(folder), inputs)
    adapter_golden(folder, "feature", on_backbone(), inputs)
    adapter_golden(folder, "bias-all", on_backbone(bias="all"), inputs)
    adapter_golden(folder, "bias-lora_only", on_backbone(bias="lora_only"), inputs)
    adapter_golden(folder, "patterns", on_backbone(**patterns), inputs)


def training_goldens(folder: Path, cases: list[Case], inputs: Tensors) -> dict[str, object]:
    described = {}
    for case in cases:
        single, _ = case_tensors(folder, case, inputs, False)
        double, zero = case_tensors(folder, case, inputs, True)
        save_both(folder, f"golden-{case.name}", single, double)
        described[case.name] = {"feature": case.feature, "head": case.head, "bias": case.bias, "zeroGradients": zero}
        if not case.steps:
            continue
        for suffix, clip in (("", False), ("-clip", True)):
            save_both(
                folder,
                f"steps-{case.name}{suffix}",
                step_tensors(folder, case, inputs, clip, False),
                step_tensors(folder, case, inputs, clip, True),
            )
        described[case.name]["steps"] = [f"steps-{case.name}", f"steps-{case.name}-clip"]
    return described


def scalars() -> dict[str, object]:
    return {
        "classes": CLASSES,
        "lengths": LENGTHS,
        "lora": {"rank": LORA["r"], "alpha": LORA["lora_alpha"], "targetModules": LORA["target_modules"]},
        "adamw": {**adamw_scalars(), "maxNormWhereClipped": MAX_NORM},
    }


def make_main_folder(name: str, model: torch.nn.Module, cases: list[Case], with_full: bool) -> None:
    folder = fresh_folder(GOLDENS / name)
    model.save_pretrained(folder)
    inputs = make_inputs(model.config)
    forward_golden(folder, inputs)
    described = training_goldens(folder, cases, inputs)
    if with_full:
        zero = full_golden(folder, inputs)
        described["full-mean-linear"] = {"feature": "mean", "head": "linear", "zeroGradients": zero}
    adapter_goldens(folder, inputs)
    write_record(folder / "golden.json", {**scalars(), "cases": described})


def make_variant(name: str, model: torch.nn.Module, **save: object) -> Path:
    """Another way to store a checkpoint; hidden states are computed in float32 from what was stored."""
    folder = fresh_folder(GOLDENS / name)
    model.save_pretrained(folder, **save)
    # RoBERTa's sequence classifier has no pooler: AutoModel would invent one at random.
    forward_golden(folder, make_inputs(model.config), with_pooler=name != "roberta-seqcls")
    write_record(folder / "golden.json", {"lengths": LENGTHS})
    return folder


def add_logits(folder: Path) -> None:
    """The checkpoint's own head: logits (B, C) of Hugging Face's sequence classifier."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = make_inputs(model.config)
    with torch.no_grad():
        logits = model(**inputs).logits
    check_sizes(folder.name, {"logits": logits})
    save_tensors(folder / "golden-logits.f32.safetensors", {**inputs, "logits": logits})


def main() -> None:
    bert = transformers.BertModel(bert_config()).eval()
    randomise(bert, 1)
    make_main_folder("bert", bert, BERT_CASES, with_full=True)

    roberta = transformers.RobertaModel(roberta_config()).eval()
    randomise(roberta, 12)
    make_main_folder("roberta", roberta, ROBERTA_CASES, with_full=False)

    for name, kind, config, seed in (
        ("bert-seqcls", transformers.BertForSequenceClassification, bert_config(), 3),
        ("roberta-seqcls", transformers.RobertaForSequenceClassification, roberta_config(), 4),
    ):
        config.num_labels = CLASSES
        classifier = kind(config).eval()
        randomise(classifier, seed)
        add_logits(make_variant(name, classifier))

    sharded = transformers.BertModel(bert_config()).eval()
    randomise(sharded, 5)
    folder = make_variant("bert-sharded", sharded, max_shard_size="24KB")
    if not (folder / "model.safetensors.index.json").exists():
        raise SystemExit("bert-sharded was saved in one file; lower max_shard_size")

    for name, dtype, seed in (("bert-f16", torch.float16, 6), ("bert-bf16", torch.bfloat16, 7)):
        half = transformers.BertModel(bert_config()).eval()
        randomise(half, seed)
        make_variant(name, half.to(dtype))


if __name__ == "__main__":
    main()
