"""Golden token ids over one table of nasty strings, from transformers' fast tokenizers with truncation=True.

    ~/venv-accrete/bin/python tools/goldens/make_tokenizers.py

Makes small tokenizers from sentences written here and writes tests/goldens/tokenizers/<name>/{tokenizer.json,
tokenizer_config.json,cases.json,words.json}; where ../shared/models/minilm-l6 is present, also its cases.json and
words.json. words.json holds texts that come split into words.
"""

import json
from collections import Counter
from itertools import combinations, product
from pathlib import Path

from common import GOLDENS, REPOSITORY, fresh_folder, write_json, write_record

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SHARED_MODEL = REPOSITORY.parent / "shared" / "models" / "minilm-l6"
MODEL_MAX_LENGTH = 512

NASTY: dict[str, list[str]] = {
    "plain": ["Book a table for two at seven.", "What's my account balance?", "a"],
    "case": ["UPPER lower MiXeD CamelCaseWord", "STRASSE straße ẞ", "İstanbul ISPARTA ıI iİ", "ΟΔΥΣΣΕΥΣ Σίσυφος"],
    "accents": [
        "café naïve façade Ångström",
        "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
        "\u1e9b\u0323 q\u0307\u0323 a\u0301\u0323",
        "z\u0351\u036b\u0343a\u0365\u0321l\u0348\u0349g\u0330\u033co",
        "Việt Nam tiếng",
        "\u0301 \u0301a",
    ],
    "cjk": ["我想查余额", "東京 tower と 大阪", "안녕하세요 잔액", "abc中文def", "\U00020000\U0002a6d6 rare", "カタカナ ｶﾀｶﾅ が か\u3099"],
    "emoji": [
        "ok 👍 great 🎉🎉",
        "family 👨\u200d👩\u200d👧\u200d👦 end",
        "flag 🇩🇪🇫🇷 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "skin 👋🏽 heart ❤\ufe0f keycap 1\ufe0f\u20e3",
    ],
    "control": [
        "a\u0000b\u0001c\u001fd\u007fe",
        "bell\u0007 escape\u001b[0m",
        "\u0000\u0001\u0002",
        "nel\u0085line\u2028para\u2029end",
        "replacement \ufffd here",
        "private \ue000 unassigned \u0378 last \U0010fffd",
    ],
    "zero width": ["zero\u200bwidth\u200cnon\u200djoiner", "soft\u00adhyphen word\u2060joiner", "\ufeffbom first", "\u200b"],
    "right to left": ["مرحبا كم رصيدي", "שלום עולם", "a\u202eb\u202cc \u200fd", "عَرَبِيّ"],
    "other scripts": ["नमस्ते दुनिया", "สวัสดีชาวโลก", "Привет, МИР", "ⵣ ᚠᛇᚻ 𝕳𝖊𝖑𝖑𝖔 𝒳"],
    "spaces": [
        "",
        " ",
        "   \t\n  ",
        " leading and trailing  ",
        "tab\tnewline\ncarriage\r\nreturn",
        "no\u00a0break\u2003em\u3000ideographic\u1680ogham",
        "many     spaces      inside",
    ],
    "punctuation": [
        "wait... what?!?! -- no (really) [yes] {ok} <tag/>",
        "!!!???,,,;;;",
        "“curly” ‘quotes’ — dash – … « guillemets » ¿qué? ¡no!",
        "$5 €6 £7 ¥8 100% #tag @user a_b a-b a/b a\\b c++ `x` ^ ~ |",
        "e-mail: someone@example.com, https://example.com/a?b=c&d=e#f",
        "、。「」・！？",
        "don't can't I'll we've he'd it's 'tis",
    ],
    "digits": ["1234567890 3.14159 1,000,000 007 1e-9", "½ ² ³ ① Ⅳ ٣ ३ ３", "2024-01-31T23:59:59Z"],
    "compatibility": ["ﬁnance ﬂow ﬀ ﬃ", "Ｆｕｌｌ　ｗｉｄｔｈ １２３", "™ ℡ ㎏ ㍿ Å K"],
    "special tokens": [
        "[CLS] hello [SEP] there [MASK] [PAD] [UNK]",
        "say[MASK]now [mask] [ MASK ] [MASK][MASK]",
        "<s> hello </s> <mask> <pad> <unk>",
        "say<mask>now  <mask>  <MASK> < mask >",
        "[CLS]",
        "##ing ## a##b",
        "Ġ Ċ ▁under",
    ],
    "long": [
        "w" * 99,
        "w" * 100,
        "w" * 101,
        "x" * 300 + " after",
        "pneumonoultramicroscopicsilicovolcanoconiosis",
        " ".join(f"word{i % 7}" if i % 3 else "balance" for i in range(600)),
        "a " * 600,
    ],
}

PAIRS: list[tuple[str, str]] = [
    ("Is it open?", "The shop is open from nine to five."),
    ("A much longer first text that must lose most of its tokens to fit", "short"),
    ("short", "A much longer second text that must lose most of its tokens to fit"),
    ("one two three four five six seven eight", "eight seven six five four three two one"),
    ("", "only the second"),
    ("only the first", ""),
    ("", ""),
    ("[SEP] inside </s>", "中文 and 🎉"),
]

# Sentences of words: a word of nothing, of blanks, with a special token inside, with a blank in front.
WORDS: list[list[str]] = [
    [],
    ["EU", "rejects", "German", "call", "to", "boycott", "British", "lamb", "."],
    ["", "a", "", "b"],
    ["\u200b", "after", "\u0000", "\u200b"],
    [" ", " x", "y ", "two words", "no\u00a0break", "\u00a0"],
    ["a<mask>b", "<mask>", "</s>", "a[MASK]b", "[SEP]"],
    ["pneumonoultramicroscopicsilicovolcanoconiosis", "then", "this"],
    ["then", "x" * 300, "this"],
    ["#tag", "@user", "http://example.com/a?b=c", ":)", "n't", "'s", "U.S.", "1,000"],
]

WORD_LENGTHS = [512, 128, 12, 7]
SINGLE_LENGTHS = [512, 128, 8]
TINY_LENGTHS = [2, 3, 4]
PAIR_LENGTHS = [64, 11, 10, 9, 6, 5, 4]


def corpus() -> list[str]:
    """Some seven hundred sentences from templates, with a little of every kind of character."""
    verbs = ["book", "cancel", "check", "move", "find", "show me", "Open", "Tell me about"]
    things = ["my balance", "a table", "the meeting", "my card", "the weather", "a flight", "the café", "my señor"]
    ends = ["please", "for tomorrow", "at 7:30", "in Zürich", "now!", "today?", "in 2024", "for two"]
    sentences = [f"{v} {t} {e}" for v, t, e in product(verbs, things, ends)]
    questions = [f"What's {t} — and why isn't it {w}?" for t in things for w in ("open", "paid", "late", "walking")]
    return sentences + questions + ["余额 東京 中文 안녕", "مرحبا Привет мир", "οδυσσευσ Σίσυφος", "it's don't we'll 👍", "(a) [b] {c} <d> $5 100%"] * 3


def word_pieces(normalizer: normalizers.Normalizer, splitter: pre_tokenizers.PreTokenizer, size: int) -> list[str]:
    """The characters and the most frequent pieces of the corpus.

    The library's WordPieceTrainer breaks ties by hash order, so that no two runs give the same vocabulary.
    """
    words = Counter(w for s in corpus() for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(s)))
    characters = sorted({c for word in words for c in word})
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for start, end in combinations(range(len(word) + 1), 2):
            if end - start > 1:
                pieces[("##" if start else "") + word[start:end]] += count * (end - start)
    frequent = sorted(pieces, key=lambda piece: (-pieces[piece], piece))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *characters, *(f"##{c}" for c in characters), *frequent][:size]


def bert_tokenizer(lowercase: bool) -> Tokenizer:
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    vocabulary = {piece: i for i, piece in enumerate(word_pieces(normalizer, splitter, 480))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def roberta_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # RoBERTa's mask swallows the space before it.
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False, special=True)]
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", tokenizer.token_to_id("</s>")), cls_token=("<s>", tokenizer.token_to_id("<s>")), add_prefix_space=False
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


BERT_SPECIAL = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
ROBERTA_SPECIAL = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": AddedToken("<mask>", lstrip=True, normalized=False, special=True),
}


def save_tokenizer(folder: Path, tokenizer: Tokenizer, special: dict[str, object], extra: dict[str, object]) -> None:
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MODEL_MAX_LENGTH, **special
    )
    fast.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, **extra})


def encode(fast: transformers.PreTrainedTokenizerFast, text: str, pair: str | None, length: int) -> dict[str, object]:
    # As a batch of one: called with bare strings, transformers drops an empty second text; in a batch it keeps it.
    pairs = None if pair is None else [pair]
    encoded = fast([text], pairs, truncation=True, max_length=length, return_token_type_ids=True)
    case: dict[str, object] = {"text": text}
    if pair is not None:
        case["textPair"] = pair
    return {**case, "maxLength": length, "ids": encoded["input_ids"][0], "typeIds": encoded["token_type_ids"][0]}


def make_cases(folder: Path, raw: Tokenizer) -> list[dict[str, object]]:
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    cases = []
    for texts in NASTY.values():
        for text in texts:
            cases += [encode(fast, text, None, length) for length in SINGLE_LENGTHS]
    for text in ("Book a table for two at seven.", "", "word " * 20):
        cases += [encode(fast, text, None, length) for length in TINY_LENGTHS]
    for text, pair in PAIRS:
        cases += [encode(fast, text, pair, length) for length in PAIR_LENGTHS]
    check_against_file(folder, cases, raw)
    # A length that cuts nothing says what a larger one says.
    unique = {(c["text"], c.get("textPair"), tuple(c["ids"])): c for c in reversed(cases)}
    return list(reversed(unique.values()))


def check_against_file(folder: Path, cases: list[dict[str, object]], raw: Tokenizer) -> None:
    """transformers may rebuild a tokenizer from its class; the goldens must be what tokenizer.json itself says."""
    for case in cases:
        raw.enable_truncation(case["maxLength"])
        encoded = raw.encode(case["text"], case.get("textPair"))
        if encoded.ids != case["ids"] or encoded.type_ids != case["typeIds"]:
            raise SystemExit(f"{folder.name}: tokenizer.json and transformers disagree on {case['text']!r}")


def encode_words(fast: transformers.PreTrainedTokenizerFast, words: list[str], length: int) -> dict[str, object]:
    """transformers' tokens, less those of the first word that `length` cuts into and of all words after it."""
    whole = Counter(fast([words], is_split_into_words=True).word_ids(0))
    encoded = fast([words], is_split_into_words=True, truncation=True, max_length=length, return_token_type_ids=True)
    owners = encoded.word_ids(0)
    kept = Counter(owners)
    end = next((i for i in range(len(words)) if kept[i] < whole[i]), len(words))
    stays = [owner is None or owner < end for owner in owners]
    left = [owner for owner, stay in zip(owners, stays, strict=True) if stay]
    return {
        "words": words,
        "maxLength": length,
        "ids": [x for x, stay in zip(encoded["input_ids"][0], stays, strict=True) if stay],
        "typeIds": [x for x, stay in zip(encoded["token_type_ids"][0], stays, strict=True) if stay],
        "firstTokens": [left.index(i) if i in left else None for i in range(len(words))],
        "cutWords": len(words) - end,
    }


def make_word_cases(folder: Path, raw: Tokenizer) -> list[dict[str, object]]:
    # What transformers asks for with byte-level BPE: without the space, words would run together.
    byte_level = isinstance(raw.pre_tokenizer, pre_tokenizers.ByteLevel)
    fast = transformers.AutoTokenizer.from_pretrained(folder, **({"add_prefix_space": True} if byte_level else {}))
    if byte_level:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    sentences = [text.split(" ")[:150] for texts in NASTY.values() for text in texts] + WORDS
    cases = [encode_words(fast, words, length) for words in sentences for length in WORD_LENGTHS]
    raw.no_truncation()
    for words in sentences:
        if raw.encode(words, is_pretokenized=True).ids != fast([words], is_split_into_words=True)["input_ids"][0]:
            raise SystemExit(f"{folder.name}: tokenizer.json and transformers disagree on {words!r}")
    unique = {(*c["words"], "", *c["ids"]): c for c in reversed(cases)}
    return list(reversed(unique.values()))


def write_cases(folder: Path, cases: list[dict[str, object]], name: str = "cases.json") -> None:
    # Escaped to ASCII: invisible and right-to-left characters must not hide in the file.
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"tokenizers/{folder.name}/{name}: {len(cases)} cases")


def main() -> None:
    root = GOLDENS / "tokenizers"
    root.mkdir(parents=True, exist_ok=True)
    bert_extra = {"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": True, "strip_accents": None}
    made = {
        "bert-uncased": (bert_tokenizer(True), BERT_SPECIAL, {**bert_extra, "do_lower_case": True}),
        "bert-cased": (bert_tokenizer(False), BERT_SPECIAL, {**bert_extra, "do_lower_case": False}),
        "roberta": (roberta_tokenizer(), ROBERTA_SPECIAL, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False}),
    }
    for name, (tokenizer, special, extra) in made.items():
        folder = fresh_folder(root / name)
        save_tokenizer(folder, tokenizer, special, extra)
        raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
        write_cases(folder, make_cases(folder, raw))
        write_cases(folder, make_word_cases(folder, raw), "words.json")
    if SHARED_MODEL.exists():
        raw = Tokenizer.from_file(str(SHARED_MODEL / "tokenizer.json"))
        raw.no_padding()
        folder = fresh_folder(root / "minilm-l6")
        write_cases(folder, make_cases(SHARED_MODEL, raw))
        write_cases(folder, make_word_cases(SHARED_MODEL, raw), "words.json")
    else:
        print("tokenizers/minilm-l6: left out, ../shared/models/minilm-l6 is not here")
    write_record(root / "golden.json", {"modelMaxLength": MODEL_MAX_LENGTH})


if __name__ == "__main__":
    main()
