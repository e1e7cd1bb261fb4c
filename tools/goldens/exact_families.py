"""Small tokenizers of every kind of component, trained on a few sentences: {name: function that makes one}."""

import io
import json
import string

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = [
    "Book a table for two at seven in Paris, please.",
    "What's the weather in Oslo today? Is it 12 or 21 degrees?",
    "Add milk, bread and 3 eggs to my shopping list!",
    "turn off the kitchen lights and play some music",
    "I don't know what you're talking about; it's 3.14, isn't it?",
    "Straße café naïve Ångström İstanbul résumé Zürich",
    "Привет, мир! Как дела? ΟΔΟΣ και Σίσυφος",
    "東京 の 天気 は どう です か 中文 你好 世界 안녕하세요 세계",
    "مرحبا بالعالم שלום עולם नमस्ते दुनिया สวัสดีชาวโลก",
    "def f(x): return x ** 2  # 1,000 or 2_000",
    "the the the and and of of to to in in a a is is it it for for",
] * 4
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def charsmap(rule: str) -> bytes:
    """The normaliser that sentencepiece compiles into its models: what a `Precompiled` holds."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=200, hard_vocab_limit=False,
        normalization_rule_name=rule, minloglevel=2,
    )
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def train(tokenizer: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def bpe(vocab_size: int = 400, alphabet=None, **settings) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=settings.pop("special_tokens", SPECIAL), initial_alphabet=alphabet or [],
        show_progress=False, **settings,
    )


def word_piece_bert(lowercase: bool, strip_accents: bool | None) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=lowercase)
    return train(tokenizer, trainers.WordPieceTrainer(vocab_size=400, special_tokens=BERT, show_progress=False))


def word_piece_whitespace() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return train(tokenizer, trainers.WordPieceTrainer(vocab_size=400, special_tokens=BERT, show_progress=False))


def byte_level(prefix: bool, trim: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, trim_offsets=trim)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2), trim, prefix)
    train(tokenizer, bpe(alphabet=ALPHABET))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def byte_level_regex(pattern: str, ignore_merges: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, bpe(alphabet=ALPHABET, special_tokens=["<|endoftext|>", "<pad>"]))


def byte_level_digits(individual: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=individual), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, bpe(alphabet=ALPHABET, special_tokens=["<|endoftext|>", "<pad>"]))


def unigram(rule: str | None, scheme: str, split: bool, byte_fallback: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    if rule is not None:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Precompiled(charsmap(rule)), normalizers.Replace(Regex(" {2,}"), " ")]
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", scheme, split)
    tokenizer.decoder = decoders.Metaspace("▁", scheme, split)
    trainer = trainers.UnigramTrainer(
        vocab_size=300, unk_token="<unk>", show_progress=False,
        special_tokens=SPECIAL + ([f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []),
    )
    train(tokenizer, trainer)
    if not byte_fallback:
        return tokenizer
    state = json.loads(tokenizer.to_str())
    state["model"]["byte_fallback"] = True
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    state["decoder"] = {
        "type": "Sequence",
        "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}],
    }
    return Tokenizer.from_str(json.dumps(state))


def byte_fallback_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    train(tokenizer, bpe(600, special_tokens=["<unk>", "<s>", "</s>", *bytes_], alphabet=list(string.printable) + ["▁"]))
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(state))


def gemma_like() -> Tokenizer:
    tokenizer = byte_fallback_bpe()
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def suffix_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return train(tokenizer, bpe(end_of_word_suffix="</w>"))


def prefix_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous")]
    )
    tokenizer.decoder = decoders.WordPiece("##", cleanup=True)
    return train(tokenizer, bpe(continuing_subword_prefix="##"))


def words(pre_tokenizer, normalizer=None, decoder=None) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if decoder is not None:
        tokenizer.decoder = decoder
    trainer = trainers.WordLevelTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    return train(tokenizer, trainer)


def splits(pattern: str, behavior: str, invert: bool = False) -> Tokenizer:
    return words(pre_tokenizers.Split(Regex(pattern), behavior, invert))


def added_tokens() -> Tokenizer:
    tokenizer = word_piece_bert(True, None)
    tokenizer.add_tokens([
        AddedToken("token", single_word=True, normalized=True),
        AddedToken("covid", single_word=True, lstrip=True, rstrip=True, normalized=False),
        AddedToken("co-op", normalized=True),
        AddedToken("HELLO", normalized=True),
        AddedToken("x86", rstrip=True, normalized=False),
        AddedToken("мир", single_word=True, normalized=False),
        AddedToken("café", lstrip=True, normalized=True),
        AddedToken("中", normalized=False),
        AddedToken("é", single_word=True, normalized=False),
    ])
    tokenizer.add_special_tokens([
        AddedToken("<|endoftext|>", special=True), AddedToken("<mask>", lstrip=True, rstrip=True, special=True),
    ])
    return tokenizer


FAMILIES = {
    "wordpiece-bert-lower": lambda: word_piece_bert(True, None),
    "wordpiece-bert-cased": lambda: word_piece_bert(False, False),
    "wordpiece-whitespace": word_piece_whitespace,
    "added-tokens": added_tokens,
    "bytelevel-prefix-trim": lambda: byte_level(True, True),
    "bytelevel-plain": lambda: byte_level(False, False),
    "bytelevel-gpt4": lambda: byte_level_regex(GPT4, True),
    "bytelevel-o200k": lambda: byte_level_regex(O200K, False),
    "bytelevel-digits": lambda: byte_level_digits(True),
    "bytelevel-digits-runs": lambda: byte_level_digits(False),
    "unigram-nmt-nfkc": lambda: unigram("nmt_nfkc", "always", True),
    "unigram-nfkc-cf": lambda: unigram("nfkc_cf", "first", True),
    "unigram-bytes": lambda: unigram(None, "never", False, byte_fallback=True),
    "bpe-bytes": byte_fallback_bpe,
    "bpe-bytes-split": gemma_like,
    "bpe-suffix": suffix_bpe,
    "bpe-prefix": prefix_bpe,
    "words-punctuation-isolated": lambda: words(pre_tokenizers.Punctuation("isolated"), normalizers.NFKD()),
    "words-punctuation-removed": lambda: words(pre_tokenizers.Punctuation("removed"), normalizers.Lowercase()),
    "words-punctuation-previous": lambda: words(pre_tokenizers.Punctuation("merged_with_previous")),
    "words-punctuation-next": lambda: words(pre_tokenizers.Punctuation("merged_with_next")),
    "words-split-removed": lambda: splits(r"\s+", "removed"),
    "words-split-inverted": lambda: splits(r"\w+|[^\w\s]+", "removed", True),
    "words-split-previous": lambda: splits(r"\p{P}|\s", "merged_with_previous"),
    "words-split-next": lambda: splits(r"(?=\p{Lu})\w|\d", "merged_with_next"),
    "words-split-contiguous": lambda: splits(r"[\p{Han}\p{Hiragana}]|\p{S}|\p{M}", "contiguous"),
    "words-scripts": lambda: words(pre_tokenizers.UnicodeScripts(), normalizers.Replace(Regex(r"\p{Cf}|\p{Cc}"), "")),
    "words-delimiter": lambda: words(
        pre_tokenizers.CharDelimiterSplit(" "), normalizers.Strip(), decoders.CTC("<pad>", "|", True)
    ),
}
