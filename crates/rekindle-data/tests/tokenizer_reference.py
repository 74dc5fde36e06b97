# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.23.0", "tokenizers==0.23.3"]
# ///
"""Writes `fixtures/<kind>/tokenizer.json` and `fixtures/<kind>/encodings.json` for `tokenizer.rs`.

Three small tokenizers, each with vocabulary, normalizer and special tokens of its kind: WordPiece as
BERT's, byte-level BPE as RoBERTa's, Unigram as XLM-RoBERTa's. Each `encodings.json` holds what
transformers makes of a list of awkward texts, alone, in pairs, cut to a length, and as lists of words.
Words of the byte-level kind are encoded with `add_prefix_space=True`, which transformers demands.
"""

import json
import pathlib
import tempfile

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

FIXTURES = pathlib.Path(__file__).parent / "fixtures"

WORDS = "the a film was not bad great but it ended too soon I liked this one and never again".split()
PIECES = WORDS + "un like able ing ed s er est ly happi ness token ize watch".split()

TEXTS = [
    "",
    "a",
    "The film was not bad, but it ended too soon.",
    "I liked this one; and never again",
    "unlikeable tokenizers watching unhappiness",
    "the the the the the the the the the the the the the the",
    "THE FILM WAS GREAT!!!",
    "  two  spaces   inside and around  ",
    "tabs\tand\nline\r\nbreaks",
    "next\u0085line and \u2028separators\u2029 too",
    "no\u00a0break\u202fspaces\u3000wide",
    "zero\u200bwidth\u200djoiner\ufeffbom",
    "control\u0000characters\u0007here\u007f",
    "caf\u00e9 na\u00efve co\u0301operate \u00c5ngstr\u00f6m",
    "\u0130stanbul \u0131\u015f\u0131k stra\u00dfe \u1e9e",
    "\ufb01lm \u2460 \u216b \uff26\uff35\uff2c\uff2c width",
    "\u4e2d\u6587\u96fb\u5f71 \u3072\u3089\u304c\u306a \u30ab\u30bf\u30ab\u30ca \ud55c\uad6d\uc5b4",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "soft\u00adhyphen and \u2014 dashes \u2013 \u2026",
    "don't won't I'll they'd it's we've",
    "\u201cquotes\u201d \u2018single\u2019 \u00abguillemets\u00bb",
    "1,234.56 10% $5 #1 @home a/b c_d e-mail x=y^2 ~ ` | \\",
    "##ing ##s [UNK] [MASK]",
    "[CLS] the film [SEP] was great [SEP]",
    "<s> the film </s> was <mask> great </s>",
    "<mask>great < mask > [ SEP ]",
    "x" * 150,
    "\u2581under\u2581lines and \u0120bytes",
    "...",
    "\ue000 private \U0010ffff",
    "a\u0308\u0308\u0308 stacked",
]

PAIRS = [(2, 3), (3, 2), (5, 5), (5, 1), (1, 5), (0, 2), (22, 20), (24, 24), (13, 16)]

LENGTHS = [5, 6, 7, 8, 12, 15]

SENTENCES = [
    ["The", "film", "was", "unlikeable", "."],
    ["don't", "tokenizers,", "caf\u00e9", "10%", "a"],
    ["\u200b", "the", "\u00ad", "\u4e2d\u6587", "\U0001f600", "\u0085"],
    [" the", "film ", "two words", "-"],
    ["[SEP]", "</s>", "the"],
    ["x" * 150, "unhappiness"],
    ["watching"] * 9,
]


def wordpiece():
    characters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,!?'-#[]%$@/\\\u4e2d"))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + characters
    vocabulary += ["##" + c for c in characters] + [w.lower() for w in PIECES if len(w) > 1]
    vocabulary += ["##" + p for p in PIECES if len(p) > 1]
    ids = {token: k for k, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    # The checkpoint all-MiniLM-L6-v2 has such sections; they must not be used.
    tokenizer.enable_truncation(10)
    tokenizer.enable_padding(length=10, pad_id=0, pad_token="[PAD]")
    return tokenizer, {"pad_token": "[PAD]"}


def byte_level():
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>"] + sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = []
    for piece in PIECES:
        for form in (piece, "\u0120" + piece):
            token = form[0]
            for character in form[1:]:
                merge = (token, character)
                token += character
                if merge not in merges:
                    merges.append(merge)
                    vocabulary.append(token)
    vocabulary.append("<mask>")
    ids = {token: k for k, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token=None, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer, {"pad_token": "<pad>"}


def unigram():
    characters = sorted(set("abcdefghijklmnopqrstuvwxyzTFIWASGREH0123456789.,!?'-#[]%\u4e2d\u6587"))
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [("\u2581", -3.0)] + [(c, -8.0) for c in characters]
    vocabulary += [("\u2581" + p, -4.0 - k / 16) for k, p in enumerate(PIECES)]
    vocabulary += [(p, -5.0 - k / 16) for k, p in enumerate(PIECES) if len(p) > 1]
    vocabulary += [("<mask>", 0.0)]
    ids = {token: k for k, (token, _) in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])],
    )
    return tokenizer, {"pad_token": "<pad>"}


def load(tokenizer, options):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "tokenizer.json"
        tokenizer.save(str(file))
        return PreTrainedTokenizerFast(tokenizer_file=str(file), **options)


def encoded(reference, *inputs, side="right", **options):
    reference.truncation_side = side
    return reference(*inputs, return_token_type_ids=True, **options)


def cases(reference, for_words):
    texts, pairs, words = [], [], []
    for k, text in enumerate(TEXTS):
        for length, side in [(None, "right"), (6, "right"), (6, "left")]:
            cut = {} if length is None else {"truncation": "longest_first", "max_length": length}
            row = encoded(reference, text, side=side, **cut)
            texts.append([k, length, side, row["input_ids"], row["token_type_ids"]])
    for a, b in PAIRS:
        for length in [None, *LENGTHS]:
            for side in ["right", "left"]:
                cut = {} if length is None else {"truncation": "longest_first", "max_length": length}
                row = encoded(reference, TEXTS[a], TEXTS[b], side=side, **cut)
                pairs.append([a, b, length, side, row["input_ids"], row["token_type_ids"]])
    for k, sentence in enumerate(SENTENCES):
        for length, side in [(None, "right"), (6, "right"), (6, "left")]:
            cut = {} if length is None else {"truncation": "longest_first", "max_length": length}
            row = encoded(for_words, sentence, side=side, is_split_into_words=True, **cut)
            words.append([k, length, side, row["input_ids"], row.word_ids()])
    return {"texts": texts, "pairs": pairs, "words": words}


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows) + "\n]"


def main():
    for kind, make in [("wordpiece", wordpiece), ("byte-level", byte_level), ("unigram", unigram)]:
        tokenizer, options = make()
        reference = load(tokenizer, options)
        prefixed, _ = make()
        if kind == "byte-level":
            prefixed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        folder = FIXTURES / kind
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        found = cases(reference, load(prefixed, options))
        parts = {"inputs": lines(TEXTS), "sentences": lines(SENTENCES)}
        parts |= {name: lines(rows) for name, rows in found.items()}
        text = ",\n".join(f'"{name}": {rows}' for name, rows in parts.items())
        (folder / "encodings.json").write_text("{" + text + "}\n", encoding="ascii")
        print(kind, tokenizer.get_vocab_size(), {name: len(rows) for name, rows in found.items()})


if __name__ == "__main__":
    main()
