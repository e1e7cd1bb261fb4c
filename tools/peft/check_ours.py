"""check_roundtrip.py for many adapters in one process: loading torch takes longer than a comparison.

    npx tsx tools/peft/write_ours.ts OUT | ~/venv-accrete/bin/python tools/peft/check_ours.py

Reads lines of `<adapter> <base> [options of check_roundtrip.py]`. Exit 0 if all agree, 1 if one does not or there is none.
"""

import contextlib
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "goldens"))
import check_roundtrip


def check(line: str) -> bool:
    adapter, base, *options = line.split()
    expected = f"{adapter}/expected.safetensors"
    sys.argv = ["check_roundtrip.py", "--adapter", adapter, "--base", base, "--expected", expected, *options]
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            agrees = check_roundtrip.main() == 0
    except (Exception, SystemExit) as error:
        log.write(f"{type(error).__name__}: {error}\n")
        agrees = False
    print("ok    " if agrees else "FAILED", Path(adapter).name, flush=True)
    if not agrees:
        print("".join(f"       {text}\n" for text in log.getvalue().splitlines()), end="", flush=True)
    return agrees


def main() -> int:
    results = [check(line) for line in sys.stdin if line.strip()]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
