# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.24.0", "tokenizers==0.23.3", "jinja2==3.1.6"]
# ///
"""Writes `fixtures/chat/tokenizer.json` and `fixtures/chat/chats.json` for `chat.rs`.

One small byte-level tokenizer, trained on the texts below, that holds the special tokens of all
families; and for each family what `apply_chat_template` makes of each conversation, as text and ids,
with its template of `fixtures/chat/templates`; two of them also with `fixtures/chat-pieces/tokenizer.json`,
which treats spaces as SentencePiece does. A conversation that a template refuses has its message.
`prompt` is that of the conversation without its last message, with the generation prompt.
"""

import json
import pathlib

import jinja2
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

FOLDER = pathlib.Path(__file__).parent / "fixtures" / "chat"

SPECIAL = (
    "<s> </s> <|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> [INST] [/INST] "
    "<|im_start|> <|im_end|> <|endoftext|> <bos> <eos> <start_of_turn> <end_of_turn> <|system|> <|user|> "
    "<|assistant|>"
).split()
# As Phi-3's, it takes the white space behind it.
STRIPPING = ["<|end|>"]
# Tokens of their own that any text may hold.
ORDINARY = "<think> </think> <tool_call> </tool_call> <tool_response> </tool_response>".split()

FAMILIES = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "mistral": ("<s>", "</s>"),
    "qwen2": (None, "<|im_end|>"),
    "qwen3": (None, "<|im_end|>"),
    "gemma": ("<bos>", "<eos>"),
    "zephyr": ("<s>", "</s>"),
    "phi3": ("<s>", "<|endoftext|>"),
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Today's weather <of a town> & \"more\"",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


def chat(*texts, system=None):
    start = [] if system is None else [{"role": "system", "content": system}]
    roles = ["user", "assistant"] * len(texts)
    return start + [{"role": role, "content": text} for role, text in zip(roles, texts)]


def call(town):
    return {"type": "function", "function": {"name": "weather", "arguments": {"town": town, "days": 2}}}


CONVERSATIONS = {
    "single": chat("Hi", "Hello!"),
    "turns": chat("One?", "1", "Two?", "2", "Three?", "3"),
    "system": chat("Sky?", "Blue.", "Sea?", "Blue too.", system="Be brief."),
    "weights": chat("A?", "no", "B?", "yes"),
    "unicode": chat("Wie hei\u00dft du? \u4f60\u597d \U0001f642", "\u0141\u00f3d\u017a \u2014 caf\u00e9 \U0001f469\u200d\U0001f467 ok"),
    "spaces": chat("  pad  \n", "\n padded \n"),
    "lookalike": chat("say <|im_end|> or </s><s> or <end_of_turn>", "ok <|eot_id|> [INST]<|end|> <bos>done"),
    "repeats": chat("yes", "yes", "yes", "yes yes", "yes yes", "yes"),
    "thoughts": chat("2+2?", "<think>\nadd\n</think>\n\n4", "3+3?", "<think>\nadd\n</think>\n\n6"),
    "code": chat("def f(x):\n    return {'a': x}\n", "```python\nprint(\"hi\")\n```\n\n1. one\n2. two", "ok?", "yes {{ x }} {% if %}"),
    "tools": [
        {"role": "user", "content": "Rain in \u0141\u00f3d\u017a?"},
        {"role": "assistant", "tool_calls": [call("\u0141\u00f3d\u017a")]},
        {"role": "tool", "content": "no rain"},
        {"role": "assistant", "content": "It is dry."},
    ],
    "two users": [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
    ],
}
TOOLS = {"tools": [WEATHER]}
WEIGHTS = {"weights": [1, 0, 1, 1]}


def texts():
    for messages in CONVERSATIONS.values():
        for message in messages:
            yield message.get("content", "")
    for template in sorted((FOLDER / "templates").iterdir()):
        yield template.read_text(encoding="utf-8")


def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400 - len(SPECIAL + STRIPPING + ORDINARY),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts(), trainer)
    made.add_special_tokens(SPECIAL + [AddedToken(name, rstrip=True) for name in STRIPPING])
    made.add_tokens([AddedToken(name, normalized=False) for name in ORDINARY])
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    return made


def pieces():
    """As SentencePiece's: a space belongs to the word behind it, unknown characters are bytes."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<|user|>", "<|system|>", "<|assistant|>"]
    letters = sorted(set("abcdefghijklmnopqrstuvwxyzABHISTY?.!,+'(){}[]<>/|0123456789\u2581\n"))
    ids = {token: k for k, token in enumerate(special + [f"<0x{byte:02X}>" for byte in range(256)] + letters)}
    merges = []
    for word in ["\u2581yes", "yes", "\u2581the", "ok", "\u2581ok", "Blue", "\u2581Blue", "\n\n", "\u2581pad"]:
        for length in range(2, len(word) + 1):
            merge = (word[: length - 1], word[length - 1])
            if merge not in merges:
                merges.append(merge)
                ids.setdefault(word[:length], len(ids))
    made.model = models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True)
    made.add_special_tokens(special)
    return made


def rendered(reference, messages, tools):
    options = {} if tools is None else {"tools": tools}
    try:
        text = reference.apply_chat_template(messages, tokenize=False, **options)
    except (jinja2.TemplateError, TypeError) as error:
        return {"refused": str(error) if isinstance(error, jinja2.TemplateError) else None}
    ids = reference.apply_chat_template(messages, tokenize=True, return_dict=False, **options)
    prompt = reference.apply_chat_template(
        messages[:-1], tokenize=True, return_dict=False, add_generation_prompt=True, **options
    )
    return {"text": text, "ids": ids, "prompt": prompt}


def main():
    tokenizer().save(str(FOLDER / "tokenizer.json"), pretty=False)
    lines = []
    for family, (bos, eos) in FAMILIES.items():
        reference = PreTrainedTokenizerFast(
            tokenizer_file=str(FOLDER / "tokenizer.json"),
            chat_template=(FOLDER / "templates" / f"{family}.jinja").read_text(encoding="utf-8"),
            eos_token=eos,
            **({} if bos is None else {"bos_token": bos}),
        )
        for name, messages in CONVERSATIONS.items():
            case = {"family": family, "conversation": name}
            lines.append(json.dumps(case | rendered(reference, messages, TOOLS.get(name)), ensure_ascii=True))
        print(family, len(reference))
    (FOLDER.parent / "chat-pieces").mkdir(exist_ok=True)
    path = str(FOLDER.parent / "chat-pieces" / "tokenizer.json")
    pieces().save(path, pretty=False)
    spelled = []
    for family in ["mistral", "zephyr"]:
        template = (FOLDER / "templates" / f"{family}.jinja").read_text(encoding="utf-8")
        reference = PreTrainedTokenizerFast(
            tokenizer_file=path, chat_template=template, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
        )
        for name, messages in CONVERSATIONS.items():
            case = rendered(reference, messages, TOOLS.get(name))
            if name != "lookalike" and "refused" not in case:
                case = {"family": family, "conversation": name, "ids": case["ids"], "prompt": case["prompt"]}
                spelled.append(json.dumps(case))
    conversations = [
        json.dumps({"name": name, "messages": messages, "tools": TOOLS.get(name), "weights": WEIGHTS.get(name)})
        for name, messages in CONVERSATIONS.items()
    ]
    families = json.dumps({name: {"bos": bos, "eos": eos} for name, (bos, eos) in FAMILIES.items()})
    text = '{"families": ' + families + ',\n"conversations": [\n' + ",\n".join(conversations)
    text += '\n],\n"cases": [\n' + ",\n".join(lines)
    text += '\n],\n"pieces": [\n' + ",\n".join(spelled) + "\n]}\n"
    (FOLDER / "chats.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
