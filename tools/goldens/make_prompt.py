"""Goldens of prompt tuning on the tiny random models beside them, made with real transformers and peft.

    ~/venv-accrete/bin/python tools/goldens/make_prompt.py

Reads tests/goldens/{bert,roberta,gpt2,gpt_neox,llama} and tests/goldens/tokenizers/bert-uncased; writes
tests/goldens/prompt. What each file holds: tests/goldens/prompt/README.md.
Shapes: B rows, T text tokens, n virtual tokens, D width, C classes, V vocabulary.
"""

import json
import shutil
from pathlib import Path

from common import (
    GOLDENS,
    Tensors,
    adamw_scalars,
    adamw_steps,
    fresh_folder,
    in_float64,
    save_both,
    write_json,
    write_record,
)
from make_decoders import answer_loss
from make_encoders import CLASSES, LABELS, LENGTHS, Head, load_backbone, make_inputs, pool_mean

import peft
import torch
import torch.nn.functional as F
import transformers

PROMPT = GOLDENS / "prompt"
VIRTUAL_TOKENS = 4
TOKENIZER = "bert-uncased"
INIT_TEXT = "Classify the intent of this sentence:"
INIT_LENGTHS = [4, 10, 25]
HEAD_MODELS = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification,
}


def add_prompt(base: torch.nn.Module, task_type: str) -> peft.PeftModel:
    """A prompt of the size of the word embeddings (0.8), and a head that is not zero."""
    config = peft.PromptTuningConfig(task_type=task_type, num_virtual_tokens=VIRTUAL_TOKENS)
    model = peft.get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(43)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    return model


def prompt_of(model: peft.PeftModel) -> torch.nn.Parameter:
    return model.prompt_encoder["default"].embedding.weight


def hidden_states(output: object) -> Tensors:
    return {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}


def trained(model: peft.PeftModel, head: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {"prompt_embeddings": prompt_of(model), **{f"head.{n}": p for n, p in head.named_parameters()}}


def save_adapter(model: peft.PeftModel, folder: Path, name: str, base: str) -> None:
    """A real peft folder, less the model card and this machine's path."""
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder / name, save_embedding_layers=False)
    (folder / name / "README.md").unlink(missing_ok=True)


def feature_golden(base: Path, folder: Path, inputs: Tensors) -> None:
    """Loss and gradients of a linear head on the mean of the text's own tokens."""
    # For this task type peft drops token types; with zeros there is nothing to drop.
    inputs = {**inputs, "token_type_ids": torch.zeros_like(inputs["token_type_ids"])}

    def make(double: bool) -> tuple[peft.PeftModel, Head]:
        model = add_prompt(load_backbone(base), "FEATURE_EXTRACTION")
        head = Head("linear", model.config.hidden_size)
        return (in_float64(model), head.double()) if double else (model, head)

    def tensors(double: bool) -> Tensors:
        model, head = make(double)
        output = model(**inputs, output_hidden_states=True)
        text = output.last_hidden_state[:, VIRTUAL_TOKENS:]  # (B, T, D)
        feature = pool_mean(text, inputs["attention_mask"])  # (B, D)
        last = text[torch.arange(text.shape[0]), inputs["attention_mask"].sum(1) - 1]
        logits = head(feature)
        loss = F.cross_entropy(logits, LABELS)
        loss.backward()
        parameters = trained(model, head)
        return {
            **inputs,
            **hidden_states(output),
            "labels": LABELS,
            "feature.mean": feature,
            "feature.cls": text[:, 0],
            "feature.last": last,
            "feature.peft-first": output.last_hidden_state[:, 0],
            "logits": logits,
            "loss": loss,
            **{f"param.{name}": parameter for name, parameter in parameters.items()},
            **{f"grad.{name}": parameter.grad for name, parameter in parameters.items()},
        }

    def steps(double: bool) -> Tensors:
        model, head = make(double)

        def loss() -> torch.Tensor:
            text = model(**inputs).last_hidden_state[:, VIRTUAL_TOKENS:]
            return F.cross_entropy(head(pool_mean(text, inputs["attention_mask"])), LABELS)

        return {**inputs, "labels": LABELS, **adamw_steps(trained(model, head), loss)}

    save_both(folder, "golden-feature", tensors(False), tensors(True))
    save_both(folder, "steps-feature", steps(False), steps(True))
    save_adapter(add_prompt(load_backbone(base), "FEATURE_EXTRACTION"), folder, "peft-feature", base.name)


def head_golden(base: Path, folder: Path, name: str, task_type: str, inputs: Tensors) -> None:
    """Hugging Face's own head under peft; for tokens the prompt is cut off, and its loss and ten steps are kept too.

    For a sentence an encoder reads position 0, a decoder the last position, padding or not.
    """

    def make() -> peft.PeftModel:
        model = HEAD_MODELS[task_type].from_pretrained(
            base, num_labels=CLASSES, dtype=torch.float32, attn_implementation="eager"
        )
        return add_prompt(model, task_type)

    def tensors(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        logits = output.logits if task_type == "SEQ_CLS" else output.logits[:, VIRTUAL_TOKENS:]
        return {**inputs, **hidden_states(output), "logits": logits}

    def steps(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        labels = token_labels(inputs)

        def loss() -> torch.Tensor:
            logits = model(**inputs).logits[:, VIRTUAL_TOKENS:]  # (B, T, C)
            return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)

        head = model.base_model.classifier.modules_to_save["default"]
        return {**inputs, "labels": labels, **adamw_steps(trained(model, head), loss)}

    save_both(folder, f"golden-{name}", tensors(False), tensors(True))
    if task_type == "TOKEN_CLS":
        save_both(folder, f"steps-{name}", steps(False), steps(True))
    save_adapter(make(), folder, f"peft-{name}", base.name)


def token_labels(inputs: Tensors) -> torch.Tensor:
    """A class for two of three real tokens, -100 elsewhere, as for the later pieces of a word."""
    column = torch.arange(inputs["input_ids"].shape[1])[None, :]
    asked = (inputs["attention_mask"] == 1) & (column % 3 != 2)
    return torch.where(asked, (inputs["input_ids"] + column) % CLASSES, torch.full_like(inputs["input_ids"], -100))


def causal_golden(base: Path, folder: Path) -> None:
    """Causal language modelling without padding; peft puts n times -100 before the labels."""
    generator = torch.Generator().manual_seed(17)
    config = transformers.AutoConfig.from_pretrained(base)
    ids = torch.randint(3, config.vocab_size, (3, 8), generator=generator)
    labels = ids.clone()
    for row, start in enumerate((2, 4, 5)):
        labels[row, :start] = -100
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def make() -> peft.PeftModel:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation="sdpa"
        )
        return add_prompt(model, "CAUSAL_LM")

    def tensors(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        output = model(**inputs, labels=labels, output_hidden_states=True)
        loss = answer_loss(output.logits[:, VIRTUAL_TOKENS:], labels)
        if (loss - output.loss).abs() > 1e-5:
            raise SystemExit("the loss here is not peft's loss")
        loss.backward()
        return {
            **inputs,
            "labels": labels,
            **hidden_states(output),
            "logits": output.logits,
            "loss": loss,
            "param.prompt_embeddings": prompt_of(model),
            "grad.prompt_embeddings": prompt_of(model).grad,
        }

    def steps(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        loss = lambda: answer_loss(model(**inputs).logits[:, VIRTUAL_TOKENS:], labels)
        return {**inputs, "labels": labels, **adamw_steps({"prompt_embeddings": prompt_of(model)}, loss)}

    save_both(folder, "golden-causal", tensors(False), tensors(True))
    save_both(folder, "steps-causal", steps(False), steps(True))
    head_golden(base, folder, "seqcls", "SEQ_CLS", inputs)
    save_adapter(make(), folder, "peft-causal", base.name)


def init_golden() -> None:
    """The ids whose embeddings peft takes for a text, read off an embedding table that holds row numbers."""
    tokenizer = PROMPT / "tokenizer"
    tokenizer.mkdir()
    source = GOLDENS / "tokenizers" / TOKENIZER / "tokenizer.json"
    transformers.PreTrainedTokenizerFast(tokenizer_file=str(source)).save_pretrained(tokenizer)
    size = len(transformers.AutoTokenizer.from_pretrained(tokenizer))
    table = torch.nn.Embedding.from_pretrained(torch.arange(size, dtype=torch.float32)[:, None])
    cases = []
    for virtual_tokens in INIT_LENGTHS:
        config = peft.PromptTuningConfig(
            task_type="FEATURE_EXTRACTION",
            num_virtual_tokens=virtual_tokens,
            num_transformer_submodules=1,
            token_dim=1,
            prompt_tuning_init="TEXT",
            prompt_tuning_init_text=INIT_TEXT,
            tokenizer_name_or_path=str(tokenizer),
        )
        prompt = peft.PromptEmbedding(config, table)
        ids = prompt.embedding.weight.detach()[:, 0].long().tolist()
        cases.append({"text": INIT_TEXT, "virtualTokens": virtual_tokens, "ids": ids})
    shutil.rmtree(tokenizer)
    write_json(PROMPT / "init.json", {"tokenizer": TOKENIZER, "cases": cases})
    print("prompt/init.json:", json.dumps(cases[0]))


def main() -> None:
    readme = PROMPT / "README.md"
    kept = readme.read_text(encoding="utf-8") if readme.exists() else None
    fresh_folder(PROMPT)
    if kept is not None:
        readme.write_text(kept, encoding="utf-8")
    for name in ("bert", "roberta"):
        base, folder = GOLDENS / name, fresh_folder(PROMPT / name)
        inputs = make_inputs(transformers.AutoConfig.from_pretrained(base))
        feature_golden(base, folder, inputs)
        head_golden(base, folder, "seqcls", "SEQ_CLS", inputs)
        head_golden(base, folder, "tokcls", "TOKEN_CLS", inputs)
    for name in ("gpt2", "gpt_neox", "llama"):
        causal_golden(GOLDENS / name, fresh_folder(PROMPT / name))
    init_golden()
    scalars = {"virtualTokens": VIRTUAL_TOKENS, "classes": CLASSES, "lengths": LENGTHS}
    write_record(PROMPT / "golden.json", {**scalars, "adamw": adamw_scalars()})


if __name__ == "__main__":
    main()
