"""Loads a peft folder that Accrete wrote with real peft, runs it, and compares with what Accrete computed.

    ~/venv-accrete/bin/python tools/goldens/check_roundtrip.py --adapter DIR --base DIR --expected FILE

FILE is a safetensors file with the inputs `input_ids`, `attention_mask` and optionally `token_type_ids` (B, T), and any of
  hidden.0 ... hidden.L  (B, T, D)  embeddings output and each layer's output, compared at real tokens only;
                                    (B, n + T, D) with the n virtual tokens of a prompt in front
  logits                 (B, C)     needs the head: inside the adapter, or `head.safetensors` beside it
  feature                (B, D)     what --pooling (and --normalize) make of the last hidden state
Exit 0 if every tensor agrees within 1e-4 * max|expected|, 1 if not, 2 on bad usage.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

TOLERANCE = 1e-4
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
POOLINGS = ("cls", "mean", "last", "pooler", "peft-first", "peft-first-pooler")
HEADS_INSIDE = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification,
}
# A head tensor whose first dimension is the number of classes.
OUTPUT_LAYERS = ("classifier.weight", "classifier.out_proj.weight", "score.weight")

Tensors = dict[str, torch.Tensor]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, required=True, help="peft folder")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--expected", type=Path, required=True, help="safetensors of inputs and expected outputs")
    parser.add_argument("--pooling", choices=POOLINGS, default="mean")
    parser.add_argument("--normalize", action="store_true", help="L2-normalise the feature")
    return parser.parse_args()


def count_classes(saved: Tensors) -> int:
    for name, tensor in saved.items():
        if name.endswith(OUTPUT_LAYERS):
            return tensor.shape[0]
    raise SystemExit("the adapter says it has a head inside, but has no output layer")


def load_base(folder: Path, task_type: str, saved: Tensors) -> torch.nn.Module:
    settings = {"dtype": torch.float32, "attn_implementation": "eager"}
    if task_type in HEADS_INSIDE:
        return HEADS_INSIDE[task_type].from_pretrained(folder, num_labels=count_classes(saved), **settings)
    return transformers.AutoModel.from_pretrained(folder, **settings)


def may_be_missing(name: str, pooling: str) -> bool:
    # With bias "all" peft counts its own copies of the head's biases, and the pooler's where nothing reads it.
    if ".modules_to_save." in name or ".original_module." in name:
        return True
    return name == "base_model.model.pooler.dense.bias" and pooling != "pooler"


def compare_keys(model: peft.PeftModel, saved: Tensors, pooling: str) -> list[str]:
    """peft only warns about a missing LoRA tensor and ignores extra ones, so both are looked for here."""
    loaded = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    missing = [name for name in sorted(loaded.keys() - saved.keys()) if not may_be_missing(name, pooling)]
    problems = [f"missing in the file: {name}" for name in missing]
    problems += [f"unknown to peft: {name}" for name in sorted(saved.keys() - loaded.keys())]
    for name in sorted(saved.keys() & loaded.keys()):
        if not torch.equal(saved[name], loaded[name]):
            problems.append(f"not what peft holds after loading: {name}")
    return problems


def count_virtual_tokens(model: peft.PeftModel) -> int:
    return getattr(model.peft_config["default"], "num_virtual_tokens", 0)


def pool(pooling: str, model: peft.PeftModel, output: object, mask: torch.Tensor) -> torch.Tensor:
    """Over the text's own tokens, as peft itself does not: it takes the first virtual token for [CLS]."""
    whole = output.hidden_states[-1]  # (B, n + T, D)
    h = whole[:, count_virtual_tokens(model) :]  # (B, T, D)
    if pooling == "peft-first":
        return whole[:, 0]
    if pooling == "peft-first-pooler":
        return output.pooler_output
    if pooling == "cls":
        return h[:, 0]
    if pooling == "last":
        # The last real token, on whichever side the padding is.
        positions = torch.arange(mask.shape[1])[None, :] * mask
        return h[torch.arange(h.shape[0]), positions.argmax(1)]
    if pooling == "pooler":
        return model.get_base_model().pooler(h)
    weights = mask.to(h.dtype)[:, :, None]
    return (h * weights).sum(1) / weights.sum(1)


def apply_head(head: Tensors, feature: torch.Tensor) -> torch.Tensor:
    """head.safetensors: linear (`weight`, `bias`) or cosine (`weight`, `scale`)."""
    if "scale" in head:
        return head["scale"] * (F.normalize(feature, dim=-1) @ F.normalize(head["weight"], dim=-1).T)
    return F.linear(feature, head["weight"], head.get("bias"))


def compute(arguments: argparse.Namespace, model: peft.PeftModel, expected: Tensors) -> Tensors:
    inputs = {name: expected[name] for name in INPUTS if name in expected}
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    results = {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}
    if hasattr(output, "logits"):
        return {**results, "logits": output.logits}
    with torch.no_grad():
        feature = pool(arguments.pooling, model, output, inputs["attention_mask"])
    results["feature"] = F.normalize(feature, dim=-1) if arguments.normalize else feature
    beside = arguments.adapter / "head.safetensors"
    if beside.exists():
        results["logits"] = apply_head(load_file(beside), results["feature"])
    return results


def compare(expected: Tensors, results: Tensors) -> list[str]:
    names = [name for name in expected if name.startswith("hidden.") or name in ("logits", "feature")]
    if not names:
        return ["the expected file holds nothing to compare"]
    problems = []
    for name in names:
        reference, result = expected[name].float(), results.get(name)
        if result is None or result.shape != reference.shape:
            shape = None if result is None else tuple(result.shape)
            problems.append(f"{name}: expected {tuple(reference.shape)}, peft gives {shape}")
            continue
        if name.startswith("hidden."):
            real = expected["attention_mask"].bool()
            # Virtual tokens, which stand in front, are all real.
            real = F.pad(real, (reference.shape[1] - real.shape[1], 0), value=True)
            reference, result = reference[real], result[real]
        relative = ((result - reference).abs().max() / reference.abs().max()).item()
        # Written so that not-a-number fails.
        agrees = relative <= TOLERANCE
        print(f"{name}: max|difference| / max|expected| = {relative:.1e}{'' if agrees else '  TOO LARGE'}")
        if not agrees:
            problems.append(f"{name} differs by {relative:.1e}, allowed {TOLERANCE:.0e}")
    return problems


def main() -> int:
    arguments = parse_arguments()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = json.loads((arguments.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    saved = load_file(arguments.adapter / "adapter_model.safetensors")
    base = load_base(arguments.base, config["task_type"], saved)
    with warnings.catch_warnings():
        # The base's own path is none of this check's business.
        warnings.simplefilter("ignore")
        model = peft.PeftModel.from_pretrained(base, str(arguments.adapter)).eval()
    expected = load_file(arguments.expected)
    problems = compare_keys(model, saved, arguments.pooling) + compare(expected, compute(arguments, model, expected))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
