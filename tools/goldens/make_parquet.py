"""Small Parquet files as pyarrow writes them and Hugging Face's datasets describes them.

    ~/venv-accrete/bin/python tools/goldens/make_parquet.py

Writes tests/goldens/parquet: `labels.parquet` (snappy; ClassLabel numbers with names), `words.parquet` (gzip; tags as
numbers with names), `large.parquet` (uncompressed; whole numbers above 2^53 without names).
"""

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "parquet"


def described(table: pa.Table, features: dict[str, object]) -> pa.Table:
    note = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": note})


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    text = {"dtype": "string", "_type": "Value"}
    label = {"names": ["travel", "food"], "_type": "ClassLabel"}
    table = pa.table({"sentence1": ["a flight", "buy bread"], "sentence2": ["to Oslo", "today"], "label": [0, 1]})
    features = {"sentence1": text, "sentence2": text, "label": label}
    parquet.write_table(described(table, features), FOLDER / "labels.parquet", compression="snappy")
    tags = {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}
    words = pa.table({"tokens": [["Ada", "Lovelace", "spoke"], ["yes"]], "ner_tags": [[1, 2, 0], [0]]})
    features = {"tokens": {"feature": text, "_type": "List"}, "ner_tags": {"feature": tags, "_type": "List"}}
    parquet.write_table(described(words, features), FOLDER / "words.parquet", compression="gzip")
    large = pa.table({"text": ["a", "b"], "label": [9007199254740993, 9007199254740992]})
    parquet.write_table(large, FOLDER / "large.parquet", compression="none")


if __name__ == "__main__":
    main()
