"""Write `src/holdfast/repo/native/printable.h`: the characters that names keep as they are, after `printable.py`.

Run it by hand when that rule changes: `.venv/bin/python scripts/gen_printable.py`. A test compares both for every character.
"""

import sys
from pathlib import Path

from holdfast.repo.printable import is_printable

TARGET = Path(__file__).resolve().parent.parent / "src/holdfast/repo/native/printable.h"
_PER_LINE = 6


def ranges() -> list[tuple[int, int]]:
    """First and last code point of every run of printable characters above ASCII's controls."""
    found: list[tuple[int, int]] = []
    for code in range(0x20, sys.maxunicode + 1):
        if is_printable(code):
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
    return found


def main() -> None:
    """Write the header."""
    words = [f"{{0x{low:x}, 0x{high:x}}}," for low, high in ranges()]
    lines = [" ".join(words[at : at + _PER_LINE]) for at in range(0, len(words), _PER_LINE)]
    head = "/* Made by scripts/gen_printable.py from printable.py: the characters that Unicode 15 calls printable. */\n\n"
    head += "static const unsigned printable_ranges[][2] = {\n    "
    TARGET.write_text(head + "\n    ".join(lines) + "\n};\n")


if __name__ == "__main__":
    main()
