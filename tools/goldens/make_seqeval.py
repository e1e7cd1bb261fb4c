"""Golden entity scores from seqeval, in its default mode and in its strict mode with IOB2, on random tag sequences.

    ~/venv-accrete/bin/python tools/goldens/make_seqeval.py

Writes tests/goldens/seqeval/cases.json. A case has gold and predicted sentences, tags separated by blanks, and for each
mode `micro` and `macro` [precision, recall, F1] (macro null where seqeval says NaN: no entity anywhere), `types`
{name: [precision, recall, F1, support]} and `support`; the mode is null where seqeval refuses the tags. `entities` are
those of the first gold sentence in default mode, as [type, first word, word after the last].
"""

import json
import math
import random
import warnings
from importlib.metadata import version

from common import GOLDENS, fresh_folder, write_record

from seqeval.metrics.sequence_labeling import get_entities
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as default_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.metrics.v1 import unique_labels
from seqeval.scheme import IOB2

SEED = 20240131
RANDOM_CASES = 420

TYPES = ["PER", "LOC", "creative-work", "org"]
MANY_TYPES = [f"t{i}" for i in range(12)]
ODD_TAGS = ["B", "I", "B-", "I-", "BPER", "I-PER-", "B--LOC", "I--LOC", "O-PER", "B-PER-LOC", "BX-LOC"]

# A table of what goes wrong in real data and predictions; each line is gold | predicted, sentences split by " / ".
WRITTEN = [
    " | ",
    "O | O",
    "O O O / O | O O O / O",
    " / B-PER | / B-PER",
    "B-PER I-PER O | O O O",
    "O O O | B-PER I-PER O",
    "I-PER | I-PER",
    "I-PER I-PER O | B-PER I-PER O",
    "B-PER I-LOC O | B-PER I-PER O",
    "B-PER I-LOC I-PER | B-PER I-LOC I-PER",
    "I-PER I-LOC | B-PER B-LOC",
    "B-PER B-PER B-PER | B-PER I-PER B-PER",
    "I-PER B-PER I-PER | I-PER I-PER I-PER",
    "B-PER I-PER / I-PER O | B-PER I-PER / B-PER O",
    "B-PER / B-PER | B-PER / O",
    "O O B-PER | O B-PER I-PER",
    "B-PER O I-PER | B-PER I-PER I-PER",
    "B-LOC | B-PER",
    "B-creative-work I-creative-work | B-creative-work I-creative-work",
    "B-creative-work I-work | B-creative-work I-creative-work",
    "B-PER E-PER O S-LOC | B-PER I-PER O B-LOC",
    "S-PER S-PER E-PER I-PER E-PER E-PER | S-PER I-PER E-PER I-LOC E-LOC S-LOC",
    "E-PER I-PER | O E-PER",
]


def written_cases() -> list[tuple[list[list[str]], list[list[str]]]]:
    return [tuple([s.split() for s in side.split("/")] for side in line.split("|")) for line in WRITTEN]


def well_formed(rng: random.Random, length: int, types: list[str]) -> list[str]:
    tags: list[str] = []
    while len(tags) < length:
        if rng.random() < 0.5:
            tags.append("O")
        else:
            kind = rng.choice(types)
            tags += [f"B-{kind}"] + [f"I-{kind}"] * rng.randrange(3)
    return tags[:length]


def noisy(rng: random.Random, tags: list[str], alphabet: list[str], rate: float) -> list[str]:
    return [rng.choice(alphabet) if rng.random() < rate else tag for tag in tags]


def random_case(rng: random.Random, i: int) -> tuple[list[list[str]], list[list[str]]]:
    types = MANY_TYPES if i % 10 == 9 else TYPES[: rng.randint(1, len(TYPES))]
    alphabet = ["O"] + [f"{prefix}-{kind}" for kind in types for prefix in "BI"]
    if i % 10 == 7:
        alphabet += ODD_TAGS
    if i % 10 == 8:
        alphabet += [f"{prefix}-{kind}" for kind in types for prefix in "ES"]
    lengths = [rng.randrange(8) for _ in range(rng.randint(1, 4))]
    gold = [well_formed(rng, n, types) for n in lengths]
    if i % 3 == 1:
        gold = [noisy(rng, tags, alphabet, 0.5) for tags in gold]
    if i % 3 == 2:
        return [[rng.choice(alphabet) for _ in s] for s in gold], [[rng.choice(alphabet) for _ in s] for s in gold]
    return gold, [noisy(rng, tags, alphabet, rng.choice([0.1, 0.4])) for tags in gold]


def numbers(scores: tuple, support: bool) -> list[float] | None:
    values = [float(x) for x in scores[:3]] + ([int(scores[3])] if support else [])
    return None if any(math.isnan(x) for x in values) else values


def mode_scores(score, names: list[str], gold: list, predicted: list) -> dict[str, object]:
    each = score(gold, predicted, average=None)
    rows = zip(*each)
    micro = score(gold, predicted, average="micro")
    return {
        "micro": numbers(micro, False),
        "macro": numbers(score(gold, predicted, average="macro"), False),
        "support": int(micro[3]),
        "types": {name: numbers(row, True) for name, row in zip(names, rows, strict=True)},
    }


def make_case(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, object]:
    found = sorted({e[0] for e in get_entities(gold)} | {e[0] for e in get_entities(predicted)})
    try:
        names = unique_labels(gold, predicted, IOB2)
        strict = mode_scores(lambda g, p, average: strict_scores(g, p, average=average, scheme=IOB2), names, gold, predicted)
    except (ValueError, KeyError):
        strict = None
    return {
        "gold": [" ".join(tags) for tags in gold],
        "predicted": [" ".join(tags) for tags in predicted],
        "entities": [[kind, start, end + 1] for kind, start, end in get_entities(gold[0])],
        "default": mode_scores(default_scores, found, gold, predicted),
        "strict": strict,
    }


def main() -> None:
    warnings.simplefilter("ignore")
    rng = random.Random(SEED)
    cases = written_cases() + [random_case(rng, i) for i in range(RANDOM_CASES)]
    folder = fresh_folder(GOLDENS / "seqeval")
    lines = ",\n".join(json.dumps(make_case(gold, predicted), separators=(",", ":")) for gold, predicted in cases)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    write_record(folder / "golden.json", {"seqeval": version("seqeval"), "seed": SEED, "cases": len(cases)})
    print(f"seqeval: {len(cases)} cases")


if __name__ == "__main__":
    main()
