"""Whether an adapter for llama.cpp holds what peft's folder holds: read back by llama.cpp's own package `gguf`, rows put back
in the order of Hugging Face, and compared as s·B·A of every layer.

    python tools/export/check_gguf.py <adapter.gguf> <peft folder> <backbone folder>

The names come from gguf's own table, and the order of rows from how convert_hf_to_gguf.py turns the weights they stand beside.
"""

import json
import math
import re
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

ARCHITECTURES = {
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "gpt_neox": gguf.MODEL_ARCH.GPTNEOX,
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "smollm3": gguf.MODEL_ARCH.SMOLLM3,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}


def as_llama_cpp(delta, config, name):
    """A layer's weight as convert_hf_to_gguf.py writes it: LlamaModel.permute, GPTNeoXModel.modify_tensors."""
    heads = config.get("num_attention_heads") or config["n_head"]
    if config["model_type"] in ("llama", "mistral", "smollm3") and re.search(r"[qk]_proj$", name):
        if name.endswith("k_proj"):
            heads = config.get("num_key_value_heads") or heads
        return delta.reshape(heads, 2, delta.shape[0] // heads // 2, delta.shape[1]).swapaxes(1, 2).reshape(delta.shape)
    if config["model_type"] == "gpt_neox" and name.endswith("query_key_value"):
        parts = delta.reshape(heads, 3, delta.shape[1] // heads, delta.shape[1])
        return np.concatenate([parts[:, i].reshape(-1, delta.shape[1]) for i in range(3)])
    return delta


def main(path, folder, backbone):
    config = json.loads((Path(backbone) / "config.json").read_text())
    spec = json.loads((Path(folder) / "adapter_config.json").read_text())
    reader = gguf.GGUFReader(path)
    arch = ARCHITECTURES[config["model_type"]]
    field = lambda key: reader.get_field(key).contents()
    assert field("general.type") == "adapter" and field("adapter.type") == "lora"
    assert field("general.architecture") == gguf.MODEL_ARCH_NAMES[arch], field("general.architecture")
    alpha = field("adapter.lora.alpha")
    # GGUFReader gives arrays with the slowest dimension first.
    theirs = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}

    stored = load_file(Path(folder) / "adapter_model.safetensors")
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    names = gguf.get_tensor_name_map(arch, 64)
    sites = [key[len(prefix) : -len(suffix)] for key in stored if key.endswith(suffix)]
    for site in sites:
        a, b = (stored[f"{prefix}{site}.lora_{part}.weight"].astype(np.float64) for part in "AB")
        rank = a.shape[0]
        scale = spec["lora_alpha"] / (math.sqrt(rank) if spec.get("use_rslora") else rank)
        expected = as_llama_cpp(scale * b @ a, config, site)
        # Adapters of a bare model name no `model.` or `transformer.` in front.
        name = next(filter(None, (names.get_name(head + site) for head in ("", "model.", "transformer.", "gpt_neox."))))
        down, up = theirs.pop(f"{name}.weight.lora_a"), theirs.pop(f"{name}.weight.lora_b")
        found = alpha / up.shape[1] * up.astype(np.float64) @ down.astype(np.float64)
        assert found.shape == expected.shape, (site, found.shape, expected.shape)
        largest = np.abs(expected).max()
        assert largest > 0, f"{site} was not trained: this shows nothing"
        assert np.abs(found - expected).max() <= 1e-6 * largest, (site, np.abs(found - expected).max(), largest)
    assert sites and not theirs, theirs.keys()
    print(f"ok: {len(sites)} layers, alpha {alpha:g}")


main(*sys.argv[1:])
