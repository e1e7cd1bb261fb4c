"""Whether other programs answer as the store does, on the 200 texts of tools/export/write.ts: transformers on merged weights, peft on
adapter folders, torch on what llama.cpp's package reads of a GGUF adapter. Prints the largest difference of each.

    python tools/export/check.py <folder of write.ts>
"""

import json
import math
import re
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

out = Path(sys.argv[1])
torch.set_grad_enabled(False)
failed = []


def told(what, wrong, largest=None):
    ok = wrong == 0 and (largest is None or largest <= 1e-4)
    print(f"{'ok' if ok else 'FAILED'}: {what}: {wrong} of 200 differ" + ("" if largest is None else f", largest difference of a score {largest:.1e}"))
    if not ok:
        failed.append(what)


def encode(tokenizer, text, length=64):
    return tokenizer(text, truncation=True, max_length=length, return_tensors="pt")


def compare(what, store, labels, score):
    """Scores of a function of a text's encoding against what the store answers."""
    asked = json.loads((store / "answers.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(asked["backbone"])
    wrong, largest = 0, 0.0
    for text, top in zip(asked["texts"], asked["answers"]):
        scores = torch.softmax(score(encode(tokenizer, text)).double().flatten(), 0)
        found = dict(zip(labels, scores.tolist()))
        wrong += max(found, key=found.get) != top[0]["label"]
        largest = max(largest, *(abs(found[each["label"]] - each["score"]) for each in top))
    told(what, wrong, largest)


def labels_of(folder):
    id2label = json.loads((folder / "config.json").read_text())["id2label"]
    return [id2label[str(i)] for i in range(len(id2label))]


def pooled(hidden, encoding, pooling):
    return hidden.mean(1) if pooling == "mean" else hidden[:, 0] if pooling == "cls" else hidden[:, -1]


def head_scores(model, tensors, pooling):
    return lambda encoding: torch.nn.functional.linear(
        pooled(model(**encoding).last_hidden_state, encoding, pooling), tensors["weight"], tensors["bias"]
    )


def compare_speech(what, store, model):
    asked = json.loads((store / "answers.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(asked["backbone"])
    wrong = 0
    for text, completion in zip(asked["texts"], asked["answers"]):
        encoding = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        ids = model.generate(**encoding, max_new_tokens=5, do_sample=False, num_beams=1, pad_token_id=0)[0]
        start = encoding["input_ids"].shape[1]
        whole = tokenizer.decode(ids, skip_special_tokens=True)
        begun = tokenizer.decode(ids[:start], skip_special_tokens=True)
        wrong += whole[len(begun) :].strip() != completion.strip()
    told(what, wrong)


def merged(store, what):
    folder = store / "merged"
    [architecture] = json.loads((folder / "config.json").read_text())["architectures"]
    if architecture.endswith("ForSequenceClassification"):
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        compare(f"{what}, AutoModelForSequenceClassification", store, labels_of(folder), lambda e: model(**e).logits)
    elif architecture.endswith("ForCausalLM"):
        compare_speech(f"{what}, AutoModelForCausalLM", store, AutoModelForCausalLM.from_pretrained(folder).eval())
    else:
        model = AutoModel.from_pretrained(folder).eval()
        pooling = json.loads((store / "peft/peft/task/accrete.json").read_text())["pooling"]
        scores = head_scores(model, load_file(folder / "head.safetensors"), pooling)
        compare(f"{what}, AutoModel and head.safetensors", store, labels_of(folder), scores)


def peft(store, what):
    folder = store / "peft/peft/task"
    backbone = json.loads((store / "answers.json").read_text())["backbone"]
    beside = json.loads((folder / "accrete.json").read_text())
    labels, kind = beside["labels"], json.loads((folder / "adapter_config.json").read_text())["task_type"]
    if kind == "SEQ_CLS":
        base = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=len(labels), dtype=torch.float32)
        model = PeftModel.from_pretrained(base, folder).eval()
        compare(f"{what}, {kind}", store, labels, lambda e: model(**e).logits)
    elif kind == "CAUSAL_LM":
        base = AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
        compare_speech(f"{what}, {kind}", store, PeftModel.from_pretrained(base, folder).eval())
    else:
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(backbone, dtype=torch.float32), folder).eval()
        scores = head_scores(model, load_file(folder / "head.safetensors"), beside["pooling"])
        compare(f"{what}, {kind} and head.safetensors", store, labels, scores)


def vllm(store, what):
    """vLLM itself is not here: its rules of names, and what peft makes of the folder."""
    folder = store / "peft/vllm/task"
    if not folder.exists():
        return
    backbone = json.loads((store / "answers.json").read_text())["backbone"]
    keys = load_file(folder / "adapter_model.safetensors")
    base = AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
    modules = dict(base.named_modules())
    for key in keys:
        name, half = re.fullmatch(r"base_model\.model\.(.+)\.(lora_[AB])\.weight", key).groups()
        assert isinstance(modules[name], torch.nn.Linear), (key, half)
    model = PeftModel.from_pretrained(base, folder).eval()
    head = folder.parent / "task.head.safetensors"
    if not head.exists():
        return compare_speech(what, store, model)
    labels = json.loads((store / "peft/peft/task/accrete.json").read_text())["labels"]
    scores = head_scores(model.base_model.model.model, load_file(head), "last")
    compare(f"{what} with its head beside", store, labels, scores)


def with_gguf(base, path, config):
    """The model with W + alpha/r·B A, rows put back as Hugging Face has them."""
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in reader.tensors}
    alpha = reader.get_field("adapter.lora.alpha").contents()
    arch = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == reader.get_field("general.architecture").contents())
    names = gguf.get_tensor_name_map(arch, 64)
    used = set()
    for site, module in base.named_modules():
        name = names.get_name(site if site.startswith("model.") else f"model.{site}")
        if not isinstance(module, torch.nn.Linear) or f"{name}.weight.lora_a" not in tensors:
            continue
        a, b = tensors[f"{name}.weight.lora_a"], tensors[f"{name}.weight.lora_b"]
        delta = alpha / b.shape[1] * b.double() @ a.double()
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}.get(site.split(".")[-1])
        if heads is not None:
            delta = delta.reshape(heads, -1, 2, delta.shape[1]).swapaxes(1, 2).reshape(delta.shape)
        module.weight += delta.float()
        used |= {f"{name}.weight.lora_a", f"{name}.weight.lora_b"}
    assert used == set(tensors), set(tensors) - used
    return base.eval()


def gguf_lora(store, what):
    path = store / "gguf-lora/task.gguf"
    if not path.exists():
        return
    backbone = json.loads((store / "answers.json").read_text())["backbone"]
    config = json.loads((Path(backbone) / "config.json").read_text())
    head = store / "gguf-lora/task.head.safetensors"
    if head.exists():
        model = with_gguf(AutoModel.from_pretrained(backbone, dtype=torch.float32), path, config)
        labels = json.loads((store / "peft/peft/task/accrete.json").read_text())["labels"]
        compare(f"{what} with its head beside", store, labels, head_scores(model, load_file(head), "last"))
    else:
        compare_speech(what, store, with_gguf(AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32), path, config))


for store in sorted(out.iterdir()):
    if (store / "answers.json").exists():
        merged(store, f"{store.name}: merged")
        peft(store, f"{store.name}: peft")
        vllm(store, f"{store.name}: vllm")
        gguf_lora(store, f"{store.name}: gguf-lora")
sys.exit(len(failed) > 0)
