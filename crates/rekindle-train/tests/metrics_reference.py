# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1", "scipy==1.17.1", "seqeval==1.2.2"]
# ///
"""Writes `fixtures/metrics.json`: random and degenerate cases with the numbers of scikit-learn,
scipy and seqeval. `metrics.rs` reads it.

Each case holds its input and a `report` with the fields of the Rust report of the same name.
Where a reference has no answer (a correlation of constants, a share of no tokens), the answer of
`metrics.rs`'s documentation stands in its place: null, or 0.
"""

import json
import math
import random
import warnings
from pathlib import Path

import numpy as np
from scipy import stats
from seqeval.metrics import sequence_labeling as seqeval
from sklearn import metrics as sklearn

FIXTURE = Path(__file__).parent / "fixtures" / "metrics.json"
TYPES = ["PER", "LOC", "ORG", "a-b"]
ODD_TAGS = ["B", "I", "E", "S", "B-", "I-", "-PER", "PER", "NOUN", "Overt", "O-PER", "IX-LOC", ".", ".-PER", "X", "Éé-PER"]


def class_scores(precision, recall, f1, support):
    rows = zip(precision, recall, f1, support, strict=True)
    return [{"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)} for p, r, f, s in rows]


def classification_report(expected, predicted, num_classes):
    labels = list(range(num_classes))
    return {
        "accuracy": float(sklearn.accuracy_score(expected, predicted)),
        "macro_f1": float(sklearn.f1_score(expected, predicted, average="macro", zero_division=0)),
        "micro_f1": float(sklearn.f1_score(expected, predicted, average="micro", zero_division=0)),
        "mcc": float(sklearn.matthews_corrcoef(expected, predicted)),
        "classes": class_scores(
            *sklearn.precision_recall_fscore_support(expected, predicted, labels=labels, zero_division=0)
        ),
        "confusion": sklearn.confusion_matrix(expected, predicted, labels=labels).tolist(),
    }


def classification_cases(rng):
    for number in range(120):
        num_classes = rng.choice([1, 2, 2, 3, 4, 6])
        rows = rng.choice([1, 2, 5, 12, 30])
        # Every third case leaves classes out, on one side or on both.
        there = range(num_classes) if number % 3 else rng.sample(range(num_classes), max(1, num_classes // 2))
        expected = [rng.choice(there) for _ in range(rows)]
        skill = rng.choice([0.0, 0.5, 0.9, 1.0])
        guesses = range(num_classes) if number % 2 else there
        predicted = [e if rng.random() < skill else rng.choice(guesses) for e in expected]
        yield {
            "num_classes": num_classes,
            "expected": expected,
            "predicted": predicted,
            "report": classification_report(expected, predicted, num_classes),
        }


def multi_label_cases(rng):
    for _ in range(80):
        # scikit-learn takes a single column for a binary target, so two is the least.
        num_labels, rows = rng.choice([2, 3, 5]), rng.choice([1, 3, 8, 20])
        rates = [rng.choice([0.0, 0.2, 0.5, 1.0]) for _ in range(num_labels)]
        noise = rng.choice([0.0, 0.1, 0.5])
        expected = [[int(rng.random() < rate) for rate in rates] for _ in range(rows)]
        predicted = [[flag ^ int(rng.random() < noise) for flag in row] for row in expected]
        truth, guess = np.array(expected), np.array(predicted)
        yield {
            "expected": ["".join(map(str, row)) for row in expected],
            "predicted": ["".join(map(str, row)) for row in predicted],
            "report": {
                "micro_f1": float(sklearn.f1_score(truth, guess, average="micro", zero_division=0)),
                "macro_f1": float(sklearn.f1_score(truth, guess, average="macro", zero_division=0)),
                "subset_accuracy": float(sklearn.accuracy_score(truth, guess)),
                "labels": class_scores(
                    *sklearn.precision_recall_fscore_support(truth, guess, average=None, zero_division=0)
                ),
            },
        }


def correlation(function, expected, predicted):
    if len(expected) < 2:
        return None
    value = float(function(expected, predicted).statistic)
    return None if math.isnan(value) else value


def regression_cases(rng):
    draws = [
        lambda: round(rng.gauss(0, 1), 3),
        lambda: rng.randint(0, 4),  # many ties
        lambda: rng.choice([-0.0, 0.0, 1.0]),
        lambda: round(1e8 + rng.gauss(0, 1), 3),
        lambda: rng.uniform(-1, 1) * 1e-170,  # squares underflow
        lambda: 0.1,  # constant
    ]
    for number in range(120):
        rows = rng.choice([1, 2, 3, 10, 25])
        draw, other = draws[number % len(draws)], rng.choice(draws)
        expected = [draw() for _ in range(rows)]
        blend = rng.choice([-1.0, 0.0, 0.5, 1.0])
        predicted = [blend * e if abs(blend) == 1 else round(blend * e + other(), 3) for e in expected]
        yield {
            "expected": expected,
            "predicted": predicted,
            "report": {
                "mse": float(sklearn.mean_squared_error(expected, predicted)),
                "mae": float(sklearn.mean_absolute_error(expected, predicted)),
                "pearson": correlation(stats.pearsonr, expected, predicted),
                "spearman": correlation(stats.spearmanr, expected, predicted),
            },
        }


def well_formed(rng, length, scheme):
    """A sentence of entities in BIO or BIOES tags."""
    tags = []
    while len(tags) < length:
        size, kind = rng.randint(1, min(3, length - len(tags))), rng.choice(TYPES)
        if rng.random() < 0.4:
            tags.append("O")
        elif scheme == "BIO":
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        elif size == 1:
            tags.append(f"S-{kind}")
        else:
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (size - 2) + [f"E-{kind}"]
    return tags


def any_tag(rng, style):
    if style == "odd" and rng.random() < 0.5:
        return rng.choice(ODD_TAGS)
    prefix = rng.choice("BIO" if style == "BIO" else "BIESO")
    return "O" if prefix == "O" else f"{prefix}-{rng.choice(TYPES[:2])}"


def entity_cases(rng):
    for number in range(180):
        style = ["BIO", "BIOES", "odd"][number % 3]
        lengths = [rng.choice([0, 1, 4, 9]) for _ in range(rng.choice([1, 2, 4]))]
        noise = rng.choice([0.0, 0.1, 0.4, 1.0])
        clean = [well_formed(rng, length, style) for length in lengths]
        mangle = lambda tags, rate: [any_tag(rng, style) if rng.random() < rate else tag for tag in tags]
        expected = [mangle(tags, noise if number % 2 else 0.0) for tags in clean]
        predicted = [mangle(tags, noise) for tags in clean]
        tokens = sum(lengths)
        kinds = {kind for tags in (expected, predicted) for kind, _, _ in seqeval.get_entities(tags)}
        by_type = class_scores(*seqeval.precision_recall_fscore_support(expected, predicted, zero_division=0))
        average = seqeval.precision_recall_fscore_support(expected, predicted, average="micro", zero_division=0)
        yield {
            "expected": [" ".join(tags) for tags in expected],
            "predicted": [" ".join(tags) for tags in predicted],
            "report": {
                "precision": float(average[0]),
                "recall": float(average[1]),
                "f1": float(average[2]),
                "token_accuracy": seqeval.accuracy_score(expected, predicted) if tokens else 0.0,
                "types": dict(zip(sorted(kinds), by_type, strict=True)),
            },
        }


def main():
    warnings.simplefilter("ignore")
    rng = random.Random(20)
    cases = {
        "classification": list(classification_cases(rng)),
        "multi_label": list(multi_label_cases(rng)),
        "regression": list(regression_cases(rng)),
        "entities": list(entity_cases(rng)),
    }
    parts = []
    for name, listed in cases.items():
        lines = [json.dumps(case, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for case in listed]
        parts.append(f'"{name}":[\n' + ",\n".join(lines) + "\n]")
    FIXTURE.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    counts = ", ".join(f"{len(listed)} {name}" for name, listed in cases.items())
    print(f"{FIXTURE.name}: {counts}, {FIXTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
