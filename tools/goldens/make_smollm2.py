"""Golden of a real decoder: SmolLM2-135M-Instruct in models/smollm2-135m, where ../shared/models/smollm2-135m/make.py made it.

    ~/venv-accrete/bin/python tools/goldens/make_smollm2.py

Writes tests/goldens/smollm2/: the tokens of ten prompts, 40 greedily generated ones each, and part of the logits behind every
prompt. The model itself is not stored. See tests/goldens/README.md.
"""

import hashlib

from common import GOLDENS, REPOSITORY, fresh_folder, save_tensors, write_record

import torch
import transformers

MODEL = REPOSITORY / "models" / "smollm2-135m"
NEW_TOKENS = 40
# Every so many-th column of the vocabulary: prime, so that it strides through the alphabet of merges.
COLUMN_STEP = 97
# Where the two best tokens are closer than this, rounding may choose the other.
SMALLEST_MARGIN = 2e-3
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "Input sentence: how much money is in my account\n The label:",
    "Question: what is the weather like tomorrow in Berlin\n Short Answer:",
    "def fibonacci(n):\n",
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
    "Water boils at",
    "A list of animals that live in the forest: the deer, the fox, the owl,",
    "1, 2, 3, 4, 5, 6,",
    "Bonjour, je m'appelle",
]


def greedy(model: transformers.PreTrainedModel, batch: transformers.BatchEncoding) -> tuple[torch.Tensor, torch.Tensor]:
    """The new tokens (B, N), which no end token stops, and their logits (B, N, V)."""
    generated = model.generate(
        **batch,
        generation_config=transformers.GenerationConfig(
            max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=model.config.pad_token_id
        ),
        output_logits=True,
        return_dict_in_generate=True,
    )
    return generated.sequences[:, batch.input_ids.shape[1] :], torch.stack(generated.logits, 1)


def main() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    # What a call leaves out is taken from here: nothing ends a text early.
    model.generation_config.eos_token_id = None
    together, _ = greedy(model, tokenizer(PROMPTS, return_tensors="pt", padding=True))
    cases, logits = [], []
    for prompt, padded in zip(PROMPTS, together, strict=True):
        batch = tokenizer([prompt], return_tensors="pt")
        tokens, steps = greedy(model, batch)
        if not torch.equal(tokens[0], padded):
            raise SystemExit(f"{prompt!r}: transformers itself says otherwise in a padded batch")
        best = steps[0].topk(2).values  # (N, 2)
        margin = (best[:, 0] - best[:, 1]).min().item()
        print(f"{prompt!r}: margin {margin:.1e}: {tokenizer.decode(tokens[0])!r}")
        if margin < SMALLEST_MARGIN:
            raise SystemExit(f"a near tie is a poor golden: {margin:.1e}")
        cases.append({"prompt": prompt, "promptIds": batch.input_ids[0].tolist(), "ids": tokens[0].tolist()})
        logits.append(steps[0, 0, ::COLUMN_STEP])
    folder = fresh_folder(GOLDENS / "smollm2")
    save_tensors(folder / "golden.safetensors", {"logits": torch.stack(logits)})  # (10, V / 97)
    weights = hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()
    record = {"weightsSha256": weights, "maxNewTokens": NEW_TOKENS, "columnStep": COLUMN_STEP, "cases": cases}
    write_record(folder / "golden.json", record)


if __name__ == "__main__":
    main()
