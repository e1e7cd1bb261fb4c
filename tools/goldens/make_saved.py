"""Adapters as people save them, on the tiny models of the other goldens, and the logits that they give.

    ~/venv-accrete/bin/python tools/goldens/make_saved.py

Writes tests/goldens/saved: a folder a case. What each file holds: tests/goldens/README.md.
Shapes: B rows, T tokens, C classes, V vocabulary.
"""

import json
from collections.abc import Callable
from pathlib import Path

from common import GOLDENS, fresh_folder, save_adapter, save_tensors, write_record

import peft
import torch
import transformers
from safetensors.torch import load_file

CLASSES = 4
LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0}
SEQUENCE = transformers.AutoModelForSequenceClassification
TOKEN = transformers.AutoModelForTokenClassification
CAUSAL = transformers.AutoModelForCausalLM

OUT = GOLDENS / "saved"


def load(base: Path, auto: type) -> torch.nn.Module:
    labels = {} if auto is CAUSAL else {"num_labels": CLASSES}
    return auto.from_pretrained(base, dtype=torch.float32, attn_implementation="eager", **labels).eval()


def draw(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(43)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter + noise if "magnitude" in name or "embed" in name else noise)
    return model.eval()


def adapted(base: Path, auto: type, **settings: object) -> peft.PeftModel:
    return draw(peft.get_peft_model(load(base, auto), peft.LoraConfig(**LORA, **settings)))


def record(
    name: str, base: Path, model: peft.PeftModel, level: str | None, save: Callable[[Path], None] | None = None
) -> None:
    """The adapter's folder, and logits (B, C), (B, T, C) or (B, T, V), of tokens zero at padding."""
    folder = OUT / name
    folder.mkdir()
    forward = load_file(GOLDENS / base.name.removesuffix("-seqcls-model") / "golden-forward.f32.safetensors")
    inputs = {key: forward[key] for key in ("input_ids", "attention_mask")}
    given = dict(inputs)
    if "position_ids" in forward:
        given["position_ids"] = forward["position_ids"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        given["token_type_ids"] = forward["token_type_ids"]
    with torch.no_grad():
        logits = model(**given).logits
    if logits.dim() == 3:
        logits = logits * inputs["attention_mask"][:, :, None]
    types = forward.get("token_type_ids", torch.zeros_like(inputs["input_ids"]))
    save_tensors(folder / "golden.f32.safetensors", {**inputs, "token_type_ids": types, "logits": logits})
    if save is None:
        save_adapter(model, folder.parent, name)
    else:
        save(folder)
    config = folder / "adapter_config.json"
    fields = json.loads(config.read_text(encoding="utf-8"))
    fields["base_model_name_or_path"] = base.name
    fields["target_modules"] = sorted(fields["target_modules"])
    config.write_text(json.dumps(fields, indent=2, sort_keys=True), encoding="utf-8")
    write_record(folder / "golden.json", {"base": base.relative_to(GOLDENS).as_posix(), "level": level})


def raw(model: peft.PeftModel) -> Callable[[Path], None]:
    """As a training program saves it that takes the state dict as it is: with the adapter's name and peft's wrappers."""

    def save(folder: Path) -> None:
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        named = {n: p for n, p in model.state_dict().items() if "lora_" in n or "classifier" in n}
        save_tensors(folder / "adapter_model.safetensors", named)

    return save


def with_embeddings(model: peft.PeftModel) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        model.save_pretrained(folder, save_embedding_layers=True)
        (folder / "README.md").unlink(missing_ok=True)

    return save


def main() -> None:
    fresh_folder(OUT)
    bert, gpt2, llama, deberta = (GOLDENS / name for name in ("bert", "gpt2", "llama", "deberta-v2"))
    query = {"target_modules": ["query", "value"]}

    record("dora-bert", bert, adapted(bert, SEQUENCE, **query, task_type="SEQ_CLS", use_dora=True), "sentence")
    dora = {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True, "use_rslora": True}
    record("dora-gpt2", gpt2, adapted(gpt2, SEQUENCE, **dora, task_type="SEQ_CLS"), "sentence")

    record("untyped-seqcls", bert, adapted(bert, SEQUENCE, **query, modules_to_save=["classifier"]), "sentence")
    record("untyped-tokcls", bert, adapted(bert, TOKEN, **query, modules_to_save=["classifier"]), "word")
    record("untyped-causal", llama, adapted(llama, CAUSAL, target_modules=["q_proj", "v_proj"]), None)

    model = adapted(bert, SEQUENCE, **query, task_type="SEQ_CLS")
    record("raw-names", bert, model, "sentence", raw(model))

    # The words that were trained before the adapter was made lie beside it.
    base = load(bert, SEQUENCE)
    with torch.no_grad():
        words = base.get_input_embeddings().weight
        words.add_(0.2 * torch.randn(words.shape, generator=torch.Generator().manual_seed(47)))
    config = peft.LoraConfig(**LORA, **query, task_type="SEQ_CLS")
    model = draw(peft.get_peft_model(base, config))
    record("embeddings-bert", bert, model, "sentence", with_embeddings(model))

    tables = {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
    record("embeddings-llama", llama, adapted(llama, CAUSAL, **tables, task_type="CAUSAL_LM"), None)

    # peft saves the classifier alone: the pooler below it stays in the model.
    whole = OUT / "deberta-v2-seqcls-model"
    draw(load(deberta, SEQUENCE)).save_pretrained(whole)
    left = adapted(whole, SEQUENCE, target_modules=["query_proj", "value_proj"], task_type="SEQ_CLS")
    record("left-in-model", whole, left, "sentence")


if __name__ == "__main__":
    main()
