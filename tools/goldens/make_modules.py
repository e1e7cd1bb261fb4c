"""Vectors that sentence-transformers makes of texts: several poolings, Dense, LayerNorm and Normalize over a tiny BERT.

    ~/venv-accrete/bin/python tools/goldens/make_modules.py

Writes tests/goldens/modules: the backbone (its tokenizer is tests/goldens/tokenizers/bert-uncased), and a folder a case with
what stands beside it: modules.json, the modules' own folders, and `vectors` (n, F) of golden.json's texts.
"""

import json
import shutil
import tempfile
from pathlib import Path

import sentence_transformers
import torch
from common import GOLDENS, fresh_folder, randomise, save_tensors, write_json, write_record
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel

TEXTS = ["book a table for two", "the", "what is the weather like in Paris on Monday morning?", "play", "un café, s'il vous plaît"]
WIDTH = 16
FOLDER = GOLDENS / "modules"
TOKENIZER = GOLDENS / "tokenizers" / "bert-uncased"


def dense(inside: int, outside: int, activation: torch.nn.Module, **settings: bool) -> Dense:
    return Dense(inside, outside, activation_function=activation, **settings)


ALL = ["weightedmean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "mean"]
CASES = {
    "poolings": [Pooling(WIDTH, ALL)],
    "flags": [Pooling(WIDTH, ["cls", "max", "mean"]), Normalize()],
    "dense": [Pooling(WIDTH, "mean"), dense(WIDTH, 10, torch.nn.Tanh()), LayerNorm(10), Normalize()],
    "norm": [Pooling(WIDTH, ["mean", "cls"]), LayerNorm(2 * WIDTH)],
    "residual": [
        Pooling(WIDTH, "cls"),
        Normalize(),
        dense(WIDTH, 12, torch.nn.GELU(), bias=False, use_residual=True),
        dense(12, 12, torch.nn.ReLU(), use_residual=True),
        dense(12, 20, torch.nn.SiLU()),
        dense(20, 8, torch.nn.Sigmoid()),
        dense(8, 8, torch.nn.Identity()),
    ],
}
# As releases before 5.4 write it; the vectors stand side by side in their order, not in the file's.
FLAGS = {
    "word_embedding_dimension": WIDTH,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": True,
    "pooling_mode_cls_token": True,
    "pooling_mode_lasttoken": False,
}


def make_backbone(folder: Path) -> None:
    config = BertConfig(
        vocab_size=480, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=48, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    model = BertModel(config, add_pooling_layer=False)
    randomise(model, 41)
    model.save_pretrained(folder)


def make_case(name: str, modules: list[torch.nn.Module], base: Path) -> torch.Tensor:
    """Saves the modules, has sentence-transformers load the folder as it is, and encodes."""
    for seed, module in enumerate(modules):
        randomise(module, 50 + seed)
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "model"
        SentenceTransformer(modules=[Transformer(str(base)), *modules], device="cpu").save_pretrained(str(whole))
        if name == "flags":
            write_json(whole / "1_Pooling" / "config.json", FLAGS)
        vectors = SentenceTransformer(str(whole), device="cpu").encode(TEXTS, convert_to_tensor=True)
        target = fresh_folder(FOLDER / name)
        shutil.copy(whole / "modules.json", target)
        for module in json.loads((whole / "modules.json").read_text()):
            if module["path"] and (whole / module["path"]).is_dir():
                shutil.copytree(whole / module["path"], target / module["path"])
    save_tensors(target / "golden.f32.safetensors", {"vectors": vectors})
    return vectors


def main() -> None:
    fresh_folder(FOLDER)
    backbone = FOLDER / "backbone"
    make_backbone(backbone)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        shutil.copytree(backbone, base)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TOKENIZER / file, base)
        for name, modules in CASES.items():
            print(name, tuple(make_case(name, modules, base).shape))
    for file in FOLDER.rglob("*.safetensors"):
        file.chmod(0o644)
    write_record(FOLDER / "golden.json", {"sentence-transformers": sentence_transformers.__version__, "texts": TEXTS})


main()
