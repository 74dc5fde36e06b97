"""Puts rare words into a corpus, so that a student meets each word that its teacher knows.

Usage: python rare_words.py CORPUS TEACHER >rare.txt

Each line of CORPUS is written once. A part of its words, another one for each line and at most half of them,
is replaced by words drawn evenly from TEACHER/tokenizer.json: those of three or more small letters that CORPUS
has fewer than 300 times.
"""

import collections
import json
import pathlib
import random
import re
import sys

corpus, teacher = map(pathlib.Path, sys.argv[1:])
lines = [line.strip() for line in corpus.read_text().splitlines() if line.strip()]
count = collections.Counter(word for line in lines for word in re.findall(r"[a-z]+", line.lower()))
vocabulary = json.loads((teacher / "tokenizer.json").read_text())["model"]["vocab"]
rare = sorted(word for word in vocabulary if re.fullmatch(r"[a-z]{3,}", word) and count[word] < 300)
draw = random.Random(0)
for line in lines:
    rate = draw.uniform(0, 0.5)
    print(re.sub(r"[A-Za-z]+", lambda word: draw.choice(rare) if draw.random() < rate else word[0], line))
