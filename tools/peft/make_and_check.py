"""peft adapters for tests, and the proof that peft reads what Accrete writes.

make  <out>                             tiny random BERT and RoBERTa bases with adapters made by real peft
check <adapter> <base> [<expected>]     load an adapter folder with real peft: weights bit-equal to the file,
                                        hidden states and logits equal to the expected tensors

`expected.safetensors` holds input_ids, attention_mask, hidden.<i> and, with a head inside, logits.
Run with the versions of tools/requirements.txt, in a virtual environment outside the repository.
"""

import argparse
import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4  # of the largest reference value
CLASSES = 3
SIZES = dict(
    vocab_size=60,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=40,
    num_labels=CLASSES,
)
MODELS = {
    "bert": (transformers.BertConfig, transformers.BertModel, transformers.BertForSequenceClassification),
    "roberta": (
        transformers.RobertaConfig,
        transformers.RobertaModel,
        transformers.RobertaForSequenceClassification,
    ),
}


def randomize(parameters):
    """Draws wide enough that no tensor is near zero: a B of zeros would hide every mistake in A."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_(0.0, 0.3)


def inputs_for(config):
    ids = torch.randint(5, config.vocab_size, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[1, 6:] = config.pad_token_id
    return {"input_ids": ids, "attention_mask": mask}


def forward(model, inputs):
    model.eval()
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    tensors = {f"hidden.{i}": state for i, state in enumerate(output.hidden_states)}
    if "logits" in output:
        tensors["logits"] = output.logits
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def make_one(out, architecture, task_type, bias):
    config_class, plain_class, classifier_class = MODELS[architecture]
    base_class = classifier_class if task_type == "SEQ_CLS" else plain_class
    name = f"{architecture}-{task_type.lower().replace('_', '-')}"
    base = out / f"{name}-base"
    if not base.exists():
        model = base_class(config_class(**SIZES))
        randomize(model.parameters())
        model.save_pretrained(base)
    model = base_class.from_pretrained(base)
    config = LoraConfig(task_type=task_type, r=4, lora_alpha=8, lora_dropout=0.1, bias=bias)
    # A path as a user would see it from the output folder, so that the file does not hold this machine's.
    wrapped = get_peft_model(model, config)
    randomize(p for p in wrapped.parameters() if p.requires_grad)
    written = wrapped.peft_config["default"]
    written.base_model_name_or_path = base.name
    # peft keeps a set, whose order changes from run to run.
    written.target_modules = sorted(written.target_modules)
    folder = out / f"{name}-{bias.replace('_', '-')}"
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    inputs = inputs_for(model.config)
    save_file({**inputs, **forward(wrapped, inputs)}, folder / "expected.safetensors")


def make(out):
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(11)
    for architecture in MODELS:
        for task_type in ("SEQ_CLS", "FEATURE_EXTRACTION"):
            for bias in ("none", "all", "lora_only"):
                make_one(out, architecture, task_type, bias)
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    versions["command"] = f"python tools/peft/make_and_check.py make {out}"
    (out / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


def load(adapter, base):
    config = json.loads((adapter / "adapter_config.json").read_text())
    if config["task_type"] != "SEQ_CLS":
        model = transformers.AutoModel.from_pretrained(base)
        return PeftModel.from_pretrained(model, adapter)
    tensors = load_file(adapter / "adapter_model.safetensors")
    head = next(
        name
        for name in ("base_model.model.classifier.weight", "base_model.model.classifier.out_proj.weight")
        if name in tensors
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=tensors[head].shape[0], ignore_mismatched_sizes=True
    )
    return PeftModel.from_pretrained(model, adapter)


def check(adapter, base, expected):
    model = load(adapter, base)
    problems = []
    stored = load_file(adapter / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    for name in sorted(stored.keys() | loaded.keys()):
        if name not in loaded:
            problems.append(f"{name}: in the file, unknown to peft")
        elif name not in stored:
            # With bias "all", peft counts its own copies of the head's biases among the adapter's tensors.
            if ".modules_to_save." in name or ".original_module." in name:
                continue
            problems.append(f"{name}: peft has it, the file does not")
        elif not torch.equal(stored[name], loaded[name].cpu()):
            problems.append(f"{name}: peft holds other values than the file")
    if expected is not None:
        reference = load_file(expected)
        inputs = {n: t for n, t in reference.items() if n in ("input_ids", "attention_mask", "token_type_ids")}
        actual = forward(model, inputs)
        outputs = [n for n in reference if n.startswith("hidden.") or n == "logits"]
        if not outputs:
            problems.append(f"{expected}: holds no hidden states or logits to compare")
        for name in outputs:
            if name not in actual:
                problems.append(f"{name}: expected, but the model does not give it")
                continue
            largest = reference[name].abs().max().item()
            difference = (actual[name] - reference[name]).abs().max().item()
            # Written so that NaN counts as a difference.
            if not difference <= TOLERANCE * largest:
                problems.append(f"{name}: differs by {difference:.3g}, largest value {largest:.3g}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{adapter}: {len(stored)} tensors, {len(problems)} problems")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make")
    maker.add_argument("out", type=Path)
    checker = commands.add_parser("check")
    checker.add_argument("adapter", type=Path)
    checker.add_argument("base", type=Path)
    checker.add_argument("expected", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments.out)
        return 0
    return check(arguments.adapter, arguments.base, arguments.expected)


if __name__ == "__main__":
    sys.exit(main())
