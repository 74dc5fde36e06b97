"""Gives a tokenizer 8,192 entries of its teacher's: the words that a corpus has most, and pieces for the rest.

Usage: python vocabulary.py CORPUS TEACHER TOKENIZER

TOKENIZER is what `rekindle tokenizer train --kind wordpiece` made; its `tokenizer.json` is written anew. A word
that is one entry in both needs not be learned from its pieces. Words are counted where they are written small,
so that names do not displace them.
"""

import collections
import json
import pathlib
import re
import sys

SIZE = 8192
PIECES = 500
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LATIN = 0x180


def pieces(word, starts, inner):
    """The longest known pieces of a word, from its start on; none if a part is unknown."""
    found, start = [], 0
    while start < len(word):
        known = inner if start else starts
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in known), None)
        if end is None:
            return []
        found.append(mark + word[start:end])
        start = end
    return found


def main():
    corpus, teacher, folder = map(pathlib.Path, sys.argv[1:])
    known = json.loads((teacher / "tokenizer.json").read_text())["model"]["vocab"]
    words = re.findall(r"[^\W_]+", corpus.read_text())
    small = collections.Counter(word for word in words if word == word.lower())
    letters = sorted(entry for entry in known if len(entry) == 1 and ord(entry) < LATIN)
    inner = {entry for entry in known if entry.startswith("##")}
    inner_letters = sorted(entry for entry in inner if len(entry) == 3 and ord(entry[2]) < LATIN)
    room = SIZE - PIECES - len(SPECIAL) - len(letters) - len(inner_letters)
    whole = [word for word, _ in small.most_common() if word in known and len(word) > 1][:room]
    starts = {*whole, *letters}
    use = collections.Counter()
    for word, count in collections.Counter(word.lower() for word in words).items():
        if word not in starts:
            for piece in pieces(word, starts, inner):
                use[piece] += count
    parts = [piece for piece, _ in use.most_common() if piece.startswith("##") and len(piece) > 3][:PIECES]
    vocabulary = SPECIAL + letters + inner_letters + whole + parts
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] = {entry: number for number, entry in enumerate(vocabulary)}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=2) + "\n")


main()
