"""Folders with files beside tokenizer.json that change what it does, and what AutoTokenizer of transformers 5 answers.

    ~/venv-accrete/bin/python tools/goldens/make_beside.py

Reads tests/goldens/exact (make_exact.py makes it) and writes tests/goldens/beside/<name>/: tokenizer.json names a family
there, whose file stands in its place; the other files are as a model's folder has them. cases.json holds ids of texts and
pairs (texts.json), special tokens included, and what is decoded of them without.
"""

import json
import shutil
import tempfile
from pathlib import Path

import transformers
from transformers import AutoTokenizer

GOLDENS = Path(__file__).resolve().parents[2] / "tests" / "goldens"
EXACT, BESIDE = GOLDENS / "exact", GOLDENS / "beside"
transformers.logging.set_verbosity_error()

BERT_TOKENS = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
FAST = "PreTrainedTokenizerFast"


def flags(content: str, **given: bool) -> dict[str, object]:
    token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return token | given


# name: (family of tests/goldens/exact, {file: what it holds})
FOLDERS: dict[str, tuple[str, dict[str, dict]]] = {
    "bert-cased": ("wordpiece-bert-lower", {
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": False, **BERT_TOKENS}}),
    "bert-accents": ("wordpiece-bert-cased", {
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False, "strip_accents": True,
                                  "tokenize_chinese_chars": False, "model_max_length": 40}}),
    "bert-without-config": ("wordpiece-bert-cased", {"config.json": {"model_type": "bert"}}),
    "distilbert-as-it-stands": ("wordpiece-bert-cased", {
        "config.json": {"model_type": "distilbert"},
        "tokenizer_config.json": {"tokenizer_class": FAST, "do_lower_case": True, **BERT_TOKENS}}),
    "electra": ("wordpiece-whitespace", {
        "config.json": {"model_type": "electra"}, "tokenizer_config.json": {"tokenizer_class": "ElectraTokenizer", **BERT_TOKENS}}),
    "mpnet": ("wordpiece-bert-lower", {
        "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer", **BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]"}}),
    "roberta-prefix": ("bytelevel-plain", {
        "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True, "trim_offsets": True}}),
    "roberta-by-model": ("bytelevel-prefix-trim", {"config.json": {"model_type": "roberta"}}),
    "xlm-roberta": ("unigram-nmt-nfkc", {"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"}}),
    "xlm-roberta-no-prefix": ("unigram-nfkc-cf", {
        "config.json": {"model_type": "xlm-roberta"},
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": False}}),
    "camembert": ("unigram-nmt-nfkc", {"tokenizer_config.json": {"tokenizer_class": "CamembertTokenizer"}}),
    "deberta-v2": ("unigram-nfkc-cf", {
        "tokenizer_config.json": {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": True, "split_by_punct": True,
                                  "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
                                  "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}}),
    "gpt2": ("bytelevel-gpt4", {
        "config.json": {"model_type": "gpt2"}, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}),
    "gpt-neox": ("bytelevel-digits", {"tokenizer_config.json": {"tokenizer_class": "GPTNeoXTokenizer", "pad_token": "<pad>"}}),
    "llama": ("bpe-bytes", {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": True}}),
    "llama-legacy": ("bpe-bytes", {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}}),
    "llama-no-prefix": ("bpe-bytes-split", {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}}),
    "llama-byte-level": ("bytelevel-gpt4", {
        "config.json": {"model_type": "llama"},
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "eos_token": "<|endoftext|>"}}),
    "mistral-as-it-stands": ("bpe-bytes", {
        "config.json": {"model_type": "mistral"}, "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}),
    "qwen2": ("bytelevel-o200k", {
        "config.json": {"model_type": "qwen2"}, "tokenizer_config.json": {"tokenizer_class": FAST, "pad_token": "<pad>"}}),
    "gemma": ("bpe-bytes-split", {
        "config.json": {"model_type": "gemma3_text"},
        "tokenizer_config.json": {"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
                                  "pad_token": "<s>", "mask_token": "</s>"}}),
    "added-tokens-decoder": ("wordpiece-bert-lower", {
        "tokenizer_config.json": {
            "tokenizer_class": FAST, **BERT_TOKENS,
            "added_tokens_decoder": {
                "0": flags("[PAD]", special=True), "1": flags("[UNK]", special=True), "2": flags("[CLS]", special=True),
                "3": flags("[SEP]", special=True), "4": flags("[MASK]", special=True, lstrip=True),
                "400": flags("covid", single_word=True), "401": flags("HELLO", normalized=True, rstrip=True)}}}),
    "special-tokens-map": ("bytelevel-plain", {
        "tokenizer_config.json": {"tokenizer_class": FAST},
        "special_tokens_map.json": {"mask_token": flags("Ġthe", lstrip=True), "eos_token": "</s>", "pad_token": "<pad>"},
        "added_tokens.json": {"covid": 400, "token": 401}}),
    "split-special-tokens": ("bytelevel-plain", {"tokenizer_config.json": {"tokenizer_class": FAST, "split_special_tokens": True}}),
    "clean-up-words": ("wordpiece-bert-cased", {
        "tokenizer_config.json": {"tokenizer_class": FAST, "clean_up_tokenization_spaces": True, **BERT_TOKENS}}),
    "clean-up-pairs": ("bytelevel-plain", {"tokenizer_config.json": {"tokenizer_class": FAST, "clean_up_tokenization_spaces": True}}),
    "clean-up-forced": ("bytelevel-plain", {
        "tokenizer_config.json": {"tokenizer_class": FAST, "clean_up_tokenization_spaces": True,
                                  "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True}}),
    "truncated-left": ("wordpiece-bert-lower", {
        "tokenizer_config.json": {"tokenizer_class": FAST, **BERT_TOKENS, "truncation_side": "left", "padding_side": "left"}}),
}
TEXTS = [
    "Hello world, it 's fine . is n't it ?", "We 've café naïve, don't HELLO [MASK] token covid tokens", "if x != y :  the\tend",
    "  two  spaces and  three   ", "<mask> <s> </s> <pad> say <mask>.",
]


def main() -> None:
    strings = json.loads((EXACT / "strings.json").read_text(encoding="utf-8"))
    texts = TEXTS + [text for text in strings[7::83] if len(text) < 200]
    pairs = [[texts[i], texts[-1 - i]] for i in range(6)]
    BESIDE.mkdir(parents=True, exist_ok=True)
    (BESIDE / "texts.json").write_text(json.dumps({"texts": texts, "pairs": pairs}, indent=0) + "\n")
    for name, (family, files) in FOLDERS.items():
        folder = BESIDE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        with tempfile.TemporaryDirectory() as real:
            shutil.copytree(folder, real, dirs_exist_ok=True)
            shutil.copy(EXACT / f"{family}.tokenizer.json", Path(real) / "tokenizer.json")
            if "config.json" not in files:
                # AutoTokenizer wants one; a type that it does not know decides nothing.
                (Path(real) / "config.json").write_text("{}")
            tokenizer = AutoTokenizer.from_pretrained(real)
        known = set(range(len(tokenizer)))
        limit = {"truncation": True, "max_length": 48}
        ids = [tokenizer(text, **limit)["input_ids"] for text in texts]
        assert all(set(row) <= known for row in ids)
        cases = {
            "transformers": transformers.__version__,
            "class": type(tokenizer).__name__,
            "family": family,
            "maxLength": limit["max_length"],
            "ids": ids,
            "decoded": [tokenizer.decode(row, skip_special_tokens=True) for row in ids],
            "pairIds": [tokenizer(first, second, **limit)["input_ids"] for first, second in pairs],
            "padId": tokenizer.pad_token_id,
            "endId": tokenizer.eos_token_id,
            "paddingSide": tokenizer.padding_side,
        }
        (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(name, type(tokenizer).__name__, len(tokenizer))


if __name__ == "__main__":
    main()
