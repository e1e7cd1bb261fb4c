"""The config.json that transformers' own configuration class of every family writes, cut to two layers.

    ~/venv-accrete/bin/python tools/goldens/make_configs.py

Writes tests/goldens/default-configs.json: model_type -> the keys of config.json.
"""

import json

from common import GOLDENS, versions, write_json

import transformers

FAMILIES = [
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "mpnet",
    "modernbert",
    "deberta-v2",
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "smollm3",
    "phi3",
    "gemma3_text",
]
# The defaults of DeBERTa's class are no model that was ever published: these are those of v3.
V3 = {
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}


def main() -> None:
    configs = {}
    for name in FAMILIES:
        layers = {"gpt2": "n_layer", "distilbert": "n_layers"}.get(name, "num_hidden_layers")
        changes = {layers: 2, **(V3 if name == "deberta-v2" else {})}
        config = transformers.AutoConfig.for_model(name, **changes)
        configs[name] = json.loads(config.to_json_string(use_diff=False))
    write_json(GOLDENS / "default-configs.json", {"versions": versions(), "configs": configs})


if __name__ == "__main__":
    main()
