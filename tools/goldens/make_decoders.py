"""Goldens of tiny random decoders, made with real transformers and peft.

    ~/venv-accrete/bin/python tools/goldens/make_decoders.py [name ...]

Writes tests/goldens/{gpt2,gpt_neox,llama,qwen2,qwen3,smollm3,phi3,gemma3_text} and, of rotary scalings, the forward pass
alone, rope-{llama3,yarn,dynamic,longrope}; with names those alone. What each file holds: tests/goldens/README.md.
Shapes: B rows, T tokens, D width, V vocabulary, N new tokens.
"""

import sys
from pathlib import Path

from common import (
    GOLDENS,
    Tensors,
    adamw_scalars,
    adamw_steps,
    fresh_folder,
    in_float64,
    randomise,
    save_adapter,
    save_both,
    write_record,
)

import peft
import torch
import torch.nn.functional as F
import transformers

CLASSES = 4
LENGTHS = [10, 6, 2, 9]
PROMPT_LENGTHS = [4, 3, 1, 8]
NEW_TOKENS = 20
# Greedy decoding is a golden only where no rounding can change the choice.
SMALLEST_MARGIN = 1e-3
LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0}
# At the encoders' rate float32 and float64 part within ten steps by more than a golden may.
RATE = 1e-2
# AdamW's first step shows a gradient's sign alone: a start where none is so near zero that rounding turns it.
STEP_SEED = 42
TARGETS = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"], "phi3": ["qkv_proj"]}
TARGETS |= {name: ["q_proj", "v_proj"] for name in ("llama", "qwen2", "qwen3", "smollm3", "gemma3_text")}

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA_LIKE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    **SPECIAL,
}
CONFIGS = {
    "gpt2": transformers.GPT2Config(
        vocab_size=60, n_embd=24, n_layer=3, n_head=3, n_inner=40, n_positions=40, **SPECIAL
    ),
    "gpt_neox": transformers.GPTNeoXConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=40,
        rotary_pct=0.5,
        **SPECIAL,
    ),
    "llama": transformers.LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        max_position_embeddings=40,
        **SPECIAL,
    ),
    # Biases on query, key and value, a tied head, linearly scaled positions.
    "qwen2": transformers.Qwen2Config(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=1,
        intermediate_size=40,
        max_position_embeddings=40,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
        **SPECIAL,
    ),
    # Heads wider than their share; the last layer sees five tokens.
    "qwen3": transformers.Qwen3Config(
        **LLAMA_LIKE, head_dim=12, use_sliding_window=True, sliding_window=5, max_window_layers=2
    ),
    # The second layer knows no positions.
    "smollm3": transformers.SmolLM3Config(**LLAMA_LIKE, no_rope_layer_interval=2),
    "phi3": transformers.Phi3Config(
        **LLAMA_LIKE, rope_parameters={"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.5}
    ),
    # Layers 0 and 1 see four tokens and have a base of their own, layer 2 sees all.
    "gemma3_text": transformers.Gemma3TextConfig(
        **LLAMA_LIKE,
        head_dim=12,
        query_pre_attn_scalar=20,
        # Tied, it would repeat the last token for ever: words come in scaled by the root of the width.
        tie_word_embeddings=False,
        sliding_window=4,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    ),
    "rope-llama3": transformers.LlamaConfig(
        **LLAMA_LIKE,
        rope_parameters={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 100.0,
        },
    ),
    "rope-yarn": transformers.LlamaConfig(
        **LLAMA_LIKE,
        rope_parameters={
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 10,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
            "rope_theta": 100.0,
        },
    ),
    "rope-dynamic": transformers.LlamaConfig(
        **LLAMA_LIKE, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0}
    ),
    "rope-longrope": transformers.Phi3Config(
        **{**LLAMA_LIKE, "max_position_embeddings": 160},
        original_max_position_embeddings=40,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "short_factor": [1.0, 1.5, 2.0, 3.0],
            "long_factor": [1.0, 4.0, 8.0, 16.0],
        },
    ),
}
# Chosen so that greedy decoding neither loops at once nor meets a near tie.
SEEDS = {"gpt2": 30, "gpt_neox": 28, "llama": 22, "qwen2": 1}
SEEDS |= {"qwen3": 6, "smollm3": 1, "phi3": 1, "gemma3_text": 1}
SEEDS |= {"rope-llama3": 1, "rope-yarn": 1, "rope-dynamic": 1, "rope-longrope": 1}


def make_inputs(config: transformers.PretrainedConfig) -> Tensors:
    """Padded on the left. labels: -100 at padding and prompt, else input_ids; the model shifts them itself."""
    generator = torch.Generator().manual_seed(13)
    width = max(LENGTHS)
    column = torch.arange(width)[None, :]
    start = width - torch.tensor(LENGTHS)[:, None]
    mask = (column >= start).long()
    ids = torch.randint(3, config.vocab_size, (len(LENGTHS), width), generator=generator) * mask
    answer = column >= start + torch.tensor(PROMPT_LENGTHS)[:, None]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        # As generate() numbers them: the first real token is 0; padding's positions do not matter.
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "labels": torch.where(answer, ids, torch.full_like(ids, -100)),
    }


def load(folder: Path, double: bool) -> torch.nn.Module:
    # Not "eager": there the softmax is in float32 whatever the model's type, and float64's mask becomes -inf in it.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    return in_float64(model) if double else model


def add_lora(model: torch.nn.Module, double: bool, seed: int = 41, task_type: str = "CAUSAL_LM") -> peft.PeftModel:
    kind = model.config.model_type
    config = peft.LoraConfig(
        **LORA, task_type=task_type, target_modules=TARGETS[kind], fan_in_fan_out=kind == "gpt2"
    )
    adapted = peft.get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return in_float64(adapted) if double else adapted


def answer_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of logits (B, T, V) with labels (B, T): transformers computes it in float32 whatever the model's type."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def trained(model: peft.PeftModel) -> dict[str, torch.nn.Parameter]:
    """By the keys of peft's files."""
    return {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}


def outputs(model: torch.nn.Module, inputs: Tensors) -> Tensors:
    """hidden.i (B, T, D) and logits (B, T, V), zero at padding, where a model's values mean nothing; and the loss."""
    output = model(**inputs, output_hidden_states=True)
    loss = answer_loss(output.logits, inputs["labels"])
    if (loss - output.loss).abs() > 1e-5:
        raise SystemExit("the loss here is not transformers' loss")
    real = inputs["attention_mask"][:, :, None]
    hidden = {f"hidden.{i}": h * real for i, h in enumerate(output.hidden_states)}
    return {**hidden, "logits": output.logits * real, "loss": loss}


def greedy(model: torch.nn.Module, inputs: Tensors) -> torch.Tensor:
    """The N tokens after the inputs (B, N), never stopping; refuses near ties and dull output."""
    model.generation_config.eos_token_id = None
    generated = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        generation_config=transformers.GenerationConfig(
            max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
        ),
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = generated.sequences[:, inputs["input_ids"].shape[1] :]
    best = torch.stack(generated.logits, 1).topk(2)  # (B, N, 2)
    if not torch.equal(tokens, best.indices[..., 0]):
        raise SystemExit("generate() chose something else than the largest logit, or stopped early")
    margin = (best.values[..., 0] - best.values[..., 1]).min().item()
    if margin < SMALLEST_MARGIN or len(tokens.unique()) < 5:
        raise SystemExit(f"greedy decoding is a poor golden: margin {margin:.1e}, {len(tokens.unique())} tokens")
    return tokens


def forward_golden(folder: Path, inputs: Tensors) -> None:
    def tensors(double: bool) -> Tensors:
        model = load(folder, double)
        with torch.no_grad():
            return {**inputs, **outputs(model, inputs), "greedy": greedy(model, inputs)}

    save_both(folder, "golden-forward", tensors(False), tensors(True))


def lora_golden(folder: Path, inputs: Tensors) -> None:
    def tensors(double: bool) -> Tensors:
        model = add_lora(load(folder, False), double)
        results = outputs(model, inputs)
        results["loss"].backward()
        for name, parameter in trained(model).items():
            results[f"param.{name}"] = parameter
            results[f"grad.{name}"] = parameter.grad
        with torch.no_grad():
            return {**inputs, **results, "greedy": greedy(model, inputs)}

    save_both(folder, "golden-lora", tensors(False), tensors(True))
    save_adapter(add_lora(load(folder, False), False), folder, "peft-causal")


def steps_golden(folder: Path, inputs: Tensors) -> None:
    def tensors(double: bool) -> Tensors:
        model = add_lora(load(folder, False), double, STEP_SEED)
        loss = lambda: answer_loss(model(**inputs).logits, inputs["labels"])
        return {**inputs, **adamw_steps(trained(model), loss, adapter_rate=RATE)}

    save_both(folder, "steps-lora", tensors(False), tensors(True))


HEADS = {
    "SEQ_CLS": ("seqcls", transformers.AutoModelForSequenceClassification),
    "TOKEN_CLS": ("tokcls", transformers.AutoModelForTokenClassification),
}


def classifier_golden(folder: Path, inputs: Tensors, task_type: str) -> None:
    """Hugging Face's own head under LoRA: for a text a bias-free `score` on the last token, for tokens one with a bias."""
    name, kind = HEADS[task_type]
    given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids")}

    def make() -> peft.PeftModel:
        model = kind.from_pretrained(
            folder, num_labels=CLASSES, dtype=torch.float32, attn_implementation="sdpa"
        )
        return add_lora(model.eval(), False, task_type=task_type)

    def tensors(double: bool) -> Tensors:
        model = in_float64(make()) if double else make()
        with torch.no_grad():
            logits = model(**given).logits
        # Of tokens, zero at padding.
        real = given["attention_mask"][:, :, None] if task_type == "TOKEN_CLS" else 1
        return {**given, "logits": logits * real}

    save_both(folder, f"golden-peft-{name}", tensors(False), tensors(True))
    save_adapter(make(), folder, f"peft-{name}")


def main() -> None:
    for name in sys.argv[1:] or CONFIGS:
        config = CONFIGS[name]
        folder = fresh_folder(GOLDENS / name)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        randomise(model, SEEDS[name])
        model.save_pretrained(folder)
        inputs = make_inputs(config)
        forward_golden(folder, inputs)
        if name.startswith("rope-"):
            write_record(folder / "golden.json", {"lengths": LENGTHS, "newTokens": NEW_TOKENS})
            continue
        lora_golden(folder, inputs)
        steps_golden(folder, inputs)
        for task_type in HEADS:
            # transformers has no token classifier of Gemma 3.
            if name == "gemma3_text" and task_type == "TOKEN_CLS":
                continue
            classifier_golden(folder, inputs, task_type)
        scalars = {"classes": CLASSES, "lengths": LENGTHS, "promptLengths": PROMPT_LENGTHS, "newTokens": NEW_TOKENS}
        lora = {"rank": LORA["r"], "alpha": LORA["lora_alpha"], "targetModules": TARGETS[name]}
        write_record(folder / "golden.json", {**scalars, "lora": lora, "adamw": adamw_scalars(RATE)})


if __name__ == "__main__":
    main()
