"""Golden entities from seqeval: the same sentences written in IOB2, BIOES and BILOU, and malformed BIOES.

    ~/venv-accrete/bin/python tools/goldens/make_schemes.py

Writes tests/goldens/seqeval/schemes.json. A case has `tags` and `entities`, [type, first word, word after the last]: of
a `scheme` by seqeval's strict mode, where it is null by its default mode, which forgives.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

GOLDENS = Path(__file__).resolve().parents[2] / "tests" / "goldens"
SEED = 20261130
TYPES = ["PER", "LOC", "creative-work"]
# single, first, inner, last
MARKS = {"IOB2": "BBII", "BIOES": "SBIE", "BILOU": "UBIL"}
SCHEMES = {"IOB2": IOB2, "BIOES": IOBES, "BILOU": BILOU}


def draw(rng: random.Random) -> list[str | tuple[str, int]]:
    """Words outside entities, and entities with their lengths."""
    pieces: list[str | tuple[str, int]] = []
    for _ in range(rng.randint(1, 6)):
        pieces.append("O" if rng.random() < 0.4 else (rng.choice(TYPES), rng.choice([1, 1, 2, 3, 4])))
    return pieces


def write(pieces: list[str | tuple[str, int]], scheme: str) -> list[str]:
    single, first, inner, last = MARKS[scheme]
    tags: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            tags.append(piece)
            continue
        kind, length = piece
        marks = single if length == 1 else first + inner * (length - 2) + last
        tags += [f"{mark}-{kind}" for mark in marks]
    return tags


def strict(tags: list[str], scheme: str) -> list[list[object]]:
    found = Entities([tags], SCHEMES[scheme]).entities[0]
    return [[entity.tag, entity.start, entity.end] for entity in found]


def forgiving(tags: list[str]) -> list[list[object]]:
    return [[kind, start, end + 1] for kind, start, end in get_entities(tags)]


def main() -> None:
    rng = random.Random(SEED)
    cases = []
    for _ in range(60):
        pieces = draw(rng)
        for scheme in MARKS:
            tags = write(pieces, scheme)
            cases.append({"scheme": scheme, "tags": tags, "entities": strict(tags, scheme)})
    letters = ["O", *(f"{mark}-{kind}" for mark in "BIES" for kind in ("PER", "LOC"))]
    for _ in range(120):
        tags = [rng.choice(letters) for _ in range(rng.randint(1, 9))]
        cases.append({"scheme": None, "tags": tags, "entities": forgiving(tags)})
    record = {"seqeval": version("seqeval"), "seed": SEED, "cases": cases}
    (GOLDENS / "seqeval" / "schemes.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
