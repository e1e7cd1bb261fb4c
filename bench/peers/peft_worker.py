"""The PyTorch + peft side of a side-by-side benchmark: a worker that speaks JSON lines over stdin and stdout.

    ~/venv-accrete/bin/python bench/peers/peft_worker.py --model bert-base-random --batch 4 --length 16 --mode train

First line out: {"ready": true, "versions": …, "threads": …, "trainableParameters": …, "peakRssBytes": …}
Each line in {"steps": n} runs n steps and answers
  {"seconds": [n wall times], "cpuSeconds": [n processor times, all threads], "loss": last loss (train), "peakRssBytes": highest resident size so far}
End of input or {"quit": true} ends it. A line that is not understood is answered by {"error": …}.

What a step is: train = zero_grad, forward, cross-entropy, backward, AdamW step; eval = forward to logits under inference_mode.
PyTorch runs at its best plain configuration: float32, or pure bfloat16, scaled-dot-product attention, AdamW's default (foreach) path, gradients
only for LoRA and head, no pooler, no padding in the batch. The backbone's dropout is off, LoRA's is on, as on our side.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import torch.nn.functional as F
import transformers

CLASSES = 10
BERT_BASE = "bert-base-random"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help=f"model folder, or {BERT_BASE}")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--length", type=int, required=True, help="tokens a row")
    parser.add_argument("--mode", choices=["train", "eval"], required=True)
    parser.add_argument("--threads", type=int, default=2, help="number of physical cores")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of weights and computation")
    return parser.parse_args()


def load_backbone(name: str) -> torch.nn.Module:
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if name == BERT_BASE:
        return transformers.BertModel(transformers.BertConfig(**off), add_pooling_layer=False)
    return transformers.AutoModel.from_pretrained(name, dtype=torch.float32, add_pooling_layer=False, **off)


class Classifier(torch.nn.Module):
    """Backbone with LoRA, mean pooling, linear head."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        lora = peft.LoraConfig(
            task_type="FEATURE_EXTRACTION",
            r=4,
            lora_alpha=8,
            lora_dropout=0.1,
            target_modules=["query", "value"],
        )
        self.backbone = peft.get_peft_model(backbone, lora)
        self.head = torch.nn.Linear(backbone.config.hidden_size, CLASSES)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # (B, T), (B, T) -> (B, C)
        h = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, D)
        weights = mask.to(h.dtype)[:, :, None]  # (B, T, 1)
        return self.head((h * weights).sum(1) / weights.sum(1))


def make_batch(arguments: argparse.Namespace, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = (arguments.batch, arguments.length)
    ids = torch.randint(5, vocabulary, shape)  # (B, T); the first ids are special tokens
    return ids, torch.ones(shape, dtype=torch.long), torch.arange(arguments.batch) % CLASSES


def make_train_step(model: Classifier, arguments: argparse.Namespace, vocabulary: int) -> Callable[[], float]:
    ids, mask, labels = make_batch(arguments, vocabulary)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.01)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(ids, mask), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def make_eval_step(model: Classifier, arguments: argparse.Namespace, vocabulary: int) -> Callable[[], float | None]:
    ids, mask, _ = make_batch(arguments, vocabulary)
    model.eval()

    def step() -> None:
        with torch.inference_mode():
            model(ids, mask)

    return step


def peak_rss_bytes() -> int:
    # getrusage also counts the parent's memory before exec; Linux's own high-water mark does not.
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024  # elsewhere in kibibytes


def reply(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


def run_steps(step: Callable[[], float | None], count: int) -> dict[str, object]:
    seconds, cpu_seconds, loss = [], [], None
    for _ in range(count):
        start, cpu_start = time.perf_counter(), time.process_time()
        loss = step()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    answer: dict[str, object] = {"seconds": seconds, "cpuSeconds": cpu_seconds, "peakRssBytes": peak_rss_bytes()}
    return answer if loss is None else {**answer, "loss": loss}


def hello(model: Classifier, arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "ready": True,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        "model": arguments.model,
        "batch": arguments.batch,
        "length": arguments.length,
        "mode": arguments.mode,
        "threads": torch.get_num_threads(),
        "attention": model.backbone.config._attn_implementation,
        "trainableParameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "peakRssBytes": peak_rss_bytes(),
    }


def serve(step: Callable[[], float | None]) -> None:
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            if request.get("quit"):
                return
            count = int(request["steps"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reply({"error": f"expected {{\"steps\": n}}, got {line.strip()!r} ({error})"})
            continue
        reply(run_steps(step, count))


def main() -> None:
    arguments = parse_arguments()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    backbone = load_backbone(arguments.model)
    model = Classifier(backbone)
    if arguments.precision == "bf16":
        model.to(torch.bfloat16)
    make_step = make_train_step if arguments.mode == "train" else make_eval_step
    step = make_step(model, arguments, backbone.config.vocab_size)
    reply(hello(model, arguments))
    serve(step)


if __name__ == "__main__":
    main()
