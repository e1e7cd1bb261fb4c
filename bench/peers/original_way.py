"""The way of the original on CLINC150, in PyTorch + peft: a sample of its training steps and of its evaluation passes, as JSON.

    ~/venv-accrete/bin/python bench/peers/original_way.py --model ../shared/models/minilm-l6 --data ../shared/data/clinc150

Every text is padded to 50 tokens. A step is four texts: tokenising, forward, cross-entropy, backward, AdamW. An evaluation pass is one
text through one adapter, in batches of 32, after that adapter is made the active one; the original asks all adapters about every text.
Both are at PyTorch's best plain configuration, as in peft_worker.py.
"""

import argparse
import json
import os
import statistics
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import peft
import torch
import torch.nn.functional as F
import transformers

CLASSES, LENGTH, BATCH, ASKED = 10, 50, 4, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="folder of data_full.json")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)

    with open(os.path.join(arguments.data, "data_full.json"), encoding="utf-8") as file:
        data = json.load(file)
    labels = sorted({label for _, label in data["train"]})[:CLASSES]
    train = [(text, labels.index(label)) for text, label in data["train"] if label in labels]
    test = [text for text, label in data["test"] if label in labels]

    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    backbone = transformers.AutoModel.from_pretrained(arguments.model, dtype=torch.float32, add_pooling_layer=False, **off)
    lora = peft.LoraConfig(
        task_type="FEATURE_EXTRACTION", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["query", "value"]
    )
    model = peft.get_peft_model(backbone, lora, adapter_name="first")
    model.add_adapter("second", lora)
    head = torch.nn.Linear(backbone.config.hidden_size, CLASSES)
    if arguments.precision == "bf16":
        model.to(torch.bfloat16)
        head.to(torch.bfloat16)

    def logits(texts: list[str]) -> torch.Tensor:  # (B, C)
        batch = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        h = model(**batch).last_hidden_state  # (B, T, D)
        weights = batch["attention_mask"].to(h.dtype)[:, :, None]  # (B, T, 1)
        return head((h * weights).sum(1) / weights.sum(1))

    def step(i: int) -> None:
        rows = [train[(i * 37 * BATCH + k * 37) % len(train)] for k in range(BATCH)]
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(logits([text for text, _ in rows]), torch.tensor([label for _, label in rows]))
        loss.backward()
        optimiser.step()
        loss.item()

    def evaluate(adapter: str) -> None:
        model.set_adapter(adapter)
        with torch.inference_mode():
            for start in range(0, len(test), ASKED):
                logits(test[start : start + ASKED]).argmax(-1).tolist()

    model.set_adapter("first")
    model.train()
    trained = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.01)
    for i in range(10):
        step(i)
    steps = []
    for i in range(arguments.steps):
        start = time.perf_counter()
        step(i)
        steps.append(time.perf_counter() - start)

    model.eval()
    evaluate("first")
    passes = []
    for adapter in ["second", "first", "second", "first", "second"]:
        start = time.perf_counter()
        evaluate(adapter)
        passes.append((time.perf_counter() - start) / len(test))
    print(json.dumps({"secondsPerStep": statistics.median(steps), "secondsPerPass": statistics.median(passes)}))


if __name__ == "__main__":
    main()
