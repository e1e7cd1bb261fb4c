"""Golden of greedy decoding with a real, small Llama: ../shared/models/stories260k, where that optional folder lies.

    ~/venv-accrete/bin/python tools/goldens/make_continuation.py

Writes tests/goldens/stories260k/continuation.json; the model itself is not stored. See tests/goldens/README.md.
"""

from common import GOLDENS, fresh_folder, write_record

import torch
import transformers

MODEL = GOLDENS.parents[2] / "shared" / "models" / "stories260k"
PROMPTS = ["Once upon a time", "Lily and Tom went to the park. They saw a big", "The"]
NEW_TOKENS = 100
# Where the two best tokens are closer than this, rounding may choose the other.
SMALLEST_MARGIN = 1e-3


def continuation(model: transformers.PreTrainedModel, ids: list[int]) -> tuple[list[int], float]:
    """The greedy tokens, stopping behind the end of text, and the smallest margin between the two best."""
    generated = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        generation_config=transformers.GenerationConfig(
            max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=model.config.eos_token_id, pad_token_id=0
        ),
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.stack(generated.logits, 1).topk(2).values[0]  # (N, 2)
    return generated.sequences[0, len(ids) :].tolist(), (best[:, 0] - best[:, 1]).min().item()


def main() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        tokens, margin = continuation(model, ids)
        print(f"{prompt!r}: {len(tokens)} tokens, margin {margin:.1e}: {tokenizer.decode(tokens)!r}")
        if margin < SMALLEST_MARGIN:
            raise SystemExit(f"a near tie is a poor golden: {margin:.1e}")
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        cases.append({"prompt": prompt, "promptIds": ids, "ids": tokens, "text": text})
    folder = fresh_folder(GOLDENS / "stories260k")
    eos = model.config.eos_token_id
    write_record(folder / "continuation.json", {"maxNewTokens": NEW_TOKENS, "stopIds": [eos], "cases": cases})


if __name__ == "__main__":
    main()
