"""Adapters for llama.cpp, written by llama.cpp's own Python package from adapters that peft saved: tests/goldens/gguf/*.gguf.

The order of rows is that of convert_hf_to_gguf.py: LlamaModel.permute for query and key of Llama, query, key and value apart
for GPT-NeoX. GPT-2's A and B stand as they are: peft keeps them as of a layer (out, in), which is how GGUF keeps the weight.

    ~/venv-accrete/bin/python tools/goldens/make_gguf.py
"""

import json
import re
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

goldens = Path(__file__).parents[2] / "tests/goldens"
architectures = {"llama": gguf.MODEL_ARCH.LLAMA, "gpt_neox": gguf.MODEL_ARCH.GPTNEOX, "gpt2": gguf.MODEL_ARCH.GPT2}


def turned(b, config, site):
    heads = config.get("num_attention_heads") or config["n_head"]
    if config["model_type"] == "llama" and re.search(r"[qk]_proj$", site):
        heads = config["num_key_value_heads"] if site.endswith("k_proj") else heads
        return b.reshape(heads, 2, b.shape[0] // heads // 2, b.shape[1]).swapaxes(1, 2).reshape(b.shape)
    if config["model_type"] == "gpt_neox" and site.endswith("query_key_value"):
        parts = b.reshape(heads, 3, -1, b.shape[1])
        return np.concatenate([parts[:, i].reshape(-1, b.shape[1]) for i in range(3)])
    return b


for model, arch in architectures.items():
    config = json.loads((goldens / model / "config.json").read_text())
    folder = goldens / model / "peft-causal"
    spec = json.loads((folder / "adapter_config.json").read_text())
    stored = load_file(folder / "adapter_model.safetensors")
    names = gguf.get_tensor_name_map(arch, 8)
    out = goldens / "gguf" / f"{model}.gguf"
    out.parent.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name("golden")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(spec["lora_alpha"]))
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    sites = [key[len(prefix) : -len(suffix)] for key in stored if key.endswith(suffix)]
    number = lambda site: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", site)]
    for site in sorted(sites, key=number):
        a, b = (stored[f"{prefix}{site}.lora_{half}.weight"] for half in "AB")
        name = names.get_name(site)
        writer.add_tensor(f"{name}.weight.lora_a", np.ascontiguousarray(a, dtype=np.float32))
        writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(turned(b, config, site), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(out.name, out.stat().st_size)
