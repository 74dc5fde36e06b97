# /// script
# requires-python = ">=3.11"
# dependencies = ["huggingface_hub==2.4.0"]
# ///
"""Shares a cache with rekindle, as a peer of `rekindle-hub`'s example `resolve`.

    python hub_cache.py check --cache DIR [--model ID]
    python hub_cache.py fetch --cache DIR --endpoint URL [--model ID]
    python hub_cache.py prove --resolve PROGRAM

`check` fails unless huggingface_hub finds the model offline in a cache, with every file readable. `fetch` lets it
download the model from a Hub into a cache. `prove` imitates a Hub with a small model on this machine and exchanges
caches in both directions, also after a download that was killed and with two programs at once. It prints an object
with a 1 for each exchange that works, and a 0 for one that does not.
"""

import argparse
import hashlib
import http.server
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MODEL = "org/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "model.safetensors"
PATTERNS = ["*.json", "*.safetensors"]


def snapshot(cache, model, **settings):
    """Path of the snapshot that huggingface_hub returns; its settings are read when it is imported."""
    os.environ.update(settings, HF_HUB_CACHE=str(cache), HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(model, allow_patterns=PATTERNS))


def check(options):
    folder = snapshot(options.cache, options.model, HF_HUB_OFFLINE="1")
    files = sorted(path.name for path in folder.iterdir() if path.read_bytes())
    if WEIGHTS not in files:
        raise SystemExit(f"error: no weights in `{folder}`")
    print(folder)


def fetch(options):
    print(snapshot(options.cache, options.model, HF_ENDPOINT=options.endpoint, HF_HUB_OFFLINE="0"))


def model_files():
    weights = random.Random(0).randbytes(3_000_000)
    texts = {"config.json": '{"model_type": "bert"}', "tokenizer.json": "{}", "tokenizer_config.json": '{"x": 1}'}
    return {name: text.encode() for name, text in texts.items()} | {WEIGHTS: weights}


FILES = model_files()


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(name):
    return name == WEIGHTS


def entry(name, content):
    described = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
    if is_lfs(name):
        digest = hashlib.sha256(content).hexdigest()
        described["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return described


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for, with weights on another path."""

    protocol_version = "HTTP/1.1"
    cut = None  # Bytes after which the connection breaks.
    pause = 0
    served = []

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        name = path.rsplit("/", 1)[-1]
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            self.answer(json.dumps([entry(*item) for item in FILES.items()]).encode())
        elif path.startswith(f"/api/models/{MODEL}"):
            siblings = [{"rfilename": name} for name in FILES]
            self.answer(json.dumps({"id": MODEL, "sha": COMMIT, "siblings": siblings}).encode())
        elif name not in FILES:
            self.answer(b"", 404, {"X-Error-Code": "EntryNotFound"})
        elif path.startswith("/cdn/"):
            self.content(name, {})
        elif is_lfs(name):
            digest = hashlib.sha256(FILES[name]).hexdigest()
            # Another host to both programs, as that of large files is.
            location = f"http://localhost:{self.server.server_address[1]}/cdn/{name}"
            headers = {"Location": location, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": len(FILES[name])}
            self.answer(b"", 302, headers | {"X-Repo-Commit": COMMIT})
        else:
            self.content(name, {"ETag": f'"{git_hash(FILES[name])}"', "X-Repo-Commit": COMMIT})

    def content(self, name, headers):
        content, status = FILES[name], 200
        if self.command == "GET":
            Hub.served.append((name, self.headers.get("Range")))
            time.sleep(Hub.pause)
        if bounds := self.headers.get("Range"):
            first, last = bounds.removeprefix("bytes=").split("-")
            first, end = int(first), int(last or len(content) - 1) + 1
            headers = headers | {"Content-Range": f"bytes {first}-{end - 1}/{len(content)}"}
            content, status = content[first:end], 206
        self.answer(content, status, headers)

    def answer(self, content, status=200, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if Hub.cut is not None and len(content) > Hub.cut:
                self.wfile.write(content[: Hub.cut])
                self.wfile.flush()
                time.sleep(60)
            else:
                self.wfile.write(content)
        except OSError:
            self.close_connection = True


def prove(options):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory() as folder:
        exchange = Exchange(options.resolve, endpoint, Path(folder))
        proofs = [exchange.ours_offline, exchange.theirs_offline, exchange.killed, exchange.both_at_once]
        print(json.dumps({proof.__name__: int(proof()) for proof in proofs}))


class Exchange:
    """A cache for each proof, which the two programs write and read."""

    def __init__(self, resolve, endpoint, folder):
        self.program, self.endpoint, self.folder = resolve, endpoint, folder

    def environment(self, cache, is_offline):
        offline = "1" if is_offline else "0"
        return os.environ | {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": self.endpoint, "HF_HUB_OFFLINE": offline}

    def resolve(self, cache, is_offline=False):
        environment = self.environment(cache, is_offline)
        return subprocess.run([self.program, MODEL], env=environment, text=True, capture_output=True)

    def peer(self, command, cache, *arguments):
        script = [sys.executable, __file__, command, "--cache", str(cache), *arguments]
        return subprocess.run(script, env=os.environ, text=True, capture_output=True)

    def is_complete(self, finished):
        """True if a program found a snapshot with all files."""
        if finished.returncode:
            print(finished.stderr.strip().splitlines()[-1], file=sys.stderr)
            return False
        folder = Path(finished.stdout.strip().splitlines()[-1])
        return all((folder / name).read_bytes() == content for name, content in FILES.items())

    def ours_offline(self):
        cache = self.folder / "ours"
        return self.is_complete(self.resolve(cache)) and self.is_complete(self.peer("check", cache))

    def theirs_offline(self):
        cache = self.folder / "theirs"
        fetched = self.peer("fetch", cache, "--endpoint", self.endpoint)
        return self.is_complete(fetched) and self.is_complete(self.resolve(cache, is_offline=True))

    def killed(self):
        """A killed download of ours is not taken for a model, is continued by us, and is completed by the peer."""
        outcomes = []
        for complete in ("resolve", "peer"):
            cache = self.folder / f"killed-{complete}"
            Hub.cut = 1_000_000
            environment = self.environment(cache, is_offline=False)
            process = subprocess.Popen([self.program, MODEL], env=environment, stderr=subprocess.DEVNULL)
            partial = cache / "models--org--tiny/blobs" / (hashlib.sha256(FILES[WEIGHTS]).hexdigest() + ".incomplete")
            while not partial.exists() or partial.stat().st_size < Hub.cut:
                time.sleep(0.05)
            process.kill()
            process.wait()
            Hub.cut = None
            outcomes.append(FILES[WEIGHTS].startswith(partial.read_bytes()))
            outcomes.append(self.resolve(cache, is_offline=True).returncode != 0)
            if complete == "resolve":
                Hub.served.clear()
                outcomes.append(self.is_complete(self.resolve(cache)))
                outcomes.append((WEIGHTS, f"bytes=1000000-{len(FILES[WEIGHTS]) - 1}") in Hub.served)
            else:
                outcomes.append(self.is_complete(self.peer("fetch", cache, "--endpoint", self.endpoint)))
            outcomes.append(self.is_complete(self.peer("check", cache)))
        return all(outcomes)

    def both_at_once(self):
        """Two of ours and one peer at once: the weights are downloaded once."""
        cache = self.folder / "both"
        Hub.served.clear()
        Hub.pause = 0.5
        finished = [None] * 3
        runs = [lambda: self.resolve(cache)] * 2 + [lambda: self.peer("fetch", cache, "--endpoint", self.endpoint)]

        def run(number):
            finished[number] = runs[number]()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        Hub.pause = 0
        fetched = [name for name, _ in Hub.served].count(WEIGHTS)
        return fetched == 1 and all(self.is_complete(one) for one in finished)


def main():
    parser = argparse.ArgumentParser(description="shares a cache of the Hub with rekindle")
    commands = parser.add_subparsers(required=True)
    for command, run in {"check": check, "fetch": fetch}.items():
        subparser = commands.add_parser(command)
        subparser.add_argument("--cache", required=True, help="folder with `models--org--name` folders")
        subparser.add_argument("--model", default=MODEL, help="id of the model")
        subparser.set_defaults(run=run)
    commands.choices["fetch"].add_argument("--endpoint", required=True, help="address of the Hub")
    proof = commands.add_parser("prove")
    proof.add_argument("--resolve", required=True, help="the example `resolve`")
    proof.set_defaults(run=prove)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
