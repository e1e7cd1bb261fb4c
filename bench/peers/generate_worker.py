"""The PyTorch + peft side of `bench/generate.ts`: a decoder under LoRA, trained on answers or continuing texts.

    ~/venv-accrete/bin/python bench/peers/generate_worker.py --model models/smollm2-135m --batch 8 --length 24 --mode train

Speaks the lines of `peft_worker.py`. What a step is: train = zero_grad, forward with labels of -100 but on the answer tokens,
backward, AdamW step; decode = `generate`, greedy, with transformers' own key-value cache, that many new tokens.
PyTorch runs at its best plain configuration: float32, or pure bfloat16, scaled-dot-product attention, the foreach AdamW, no padding, and for
decoding the adapter stays unmerged, as on our side, so that another task can take its place.
"""

import argparse
from collections.abc import Callable

import peft_worker
import peft
import torch
import transformers


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--length", type=int, required=True, help="tokens a row, the answer's included")
    parser.add_argument("--answer", type=int, default=4, help="tokens of a row that are its answer")
    parser.add_argument("--tokens", type=int, default=40, help="new tokens a row in a decode step")
    parser.add_argument("--mode", choices=["train", "decode"], required=True)
    parser.add_argument("--threads", type=int, default=2, help="number of physical cores")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of weights and computation")
    return parser.parse_args()


def load(name: str) -> peft.PeftModel:
    model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    lora = peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]
    )
    # Nothing ends a text early.
    model.generation_config.eos_token_id = None
    return peft.get_peft_model(model, lora)


def train_step(model: peft.PeftModel, ids: torch.Tensor, answer: int) -> Callable[[], float]:
    labels = ids.clone()  # (B, T)
    labels[:, :-answer] = -100
    mask = torch.ones_like(ids)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.01)
    model.train()

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def decode_step(model: peft.PeftModel, ids: torch.Tensor, tokens: int) -> Callable[[], None]:
    model.eval()
    config = transformers.GenerationConfig(max_new_tokens=tokens, do_sample=False, pad_token_id=0)

    def step() -> None:
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
        if out.shape[1] != ids.shape[1] + tokens:
            raise SystemExit(f"expected {tokens} new tokens, got {out.shape[1] - ids.shape[1]}")

    return step


def main() -> None:
    arguments = parse_arguments()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = load(arguments.model)
    if arguments.precision == "bf16":
        model.to(torch.bfloat16)
    shape = (arguments.batch, arguments.length)
    ids = torch.randint(5, model.config.vocab_size, shape)  # (B, T); the first ids are special tokens
    if arguments.mode == "train":
        step: Callable[[], float | None] = train_step(model, ids, arguments.answer)
    else:
        step = decode_step(model, ids, arguments.tokens)
    peft_worker.reply({"ready": True, "threads": torch.get_num_threads(), "peakRssBytes": peft_worker.peak_rss_bytes()})
    peft_worker.serve(step)


if __name__ == "__main__":
    main()
