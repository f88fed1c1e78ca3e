"""The model server at 1, 4 and 16 requests at once, as a ratio to transformers' generate called one by one.

    export PYTHONPATH=training_container:layers/core/python
    .venv-trainer/bin/python -m demo.demo_model build/demo-model
    .venv-trainer/bin/python -m tests.benchmarks.serving --model build/demo-model

Every side answers the same prompts greedily with the same weights in fp32, each in a process of its own that stays
loaded, in turns. Beside ours there are transformers' continuous batching and, where it is installed, llama.cpp's own
server with a KV cache in fp32 too: `pip install xllamacpp==2026.10.11549` into the trainer's environment, or into a
folder on PYTHONPATH. The best turn counts. Time to the first token is that of a streamed answer: of requests sent at
once, and of one that comes while a long answer is on its way.
"""

import argparse
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest import mock

CONCURRENCY = (1, 4, 16)
NEW_TOKENS = 64
# Requests per measurement: enough that one is no accident, few enough for a minute.
REQUESTS = {1: 4, 4: 8, 16: 16}
LONG_ANSWER = 256
_TOPICS = ("the sea", "bread", "glass", "bees", "rain", "maps", "trains", "salt", "clocks", "ink", "wool", "steel")
REFERENCE = "generate, one by one"


def prompts(count: int) -> list[str]:
    """Different ones, each answered at length."""
    return [f"Tell me a long story about {_TOPICS[number % 12]} and the number {number}." for number in range(count)]


class Worker:
    """A side that is a loop in a process of its own: prompts in, tokens out."""

    def __init__(self, side: str, model: Path) -> None:
        command = [sys.executable, "-m", __spec__.name, "--model", str(model), "--worker", side]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.tokens(prompts(1), 1)

    def tokens(self, texts: list[str], concurrency: int) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([texts, concurrency]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Served:
    """A side that is a server of OpenAI's chat completions."""

    adapters: tuple[str, ...] = ()

    def __init__(self, command: list[str], port: int, path: str, ready: str) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid, self._port, self._path = self._process.pid, port, path
        while not self._answers(ready):
            assert self._process.poll() is None, f"{command} ended"
            time.sleep(0.1)

    def tokens(self, texts: list[str], concurrency: int) -> int:
        with ThreadPoolExecutor(concurrency) as pool:
            return sum(pool.map(self._ask, texts))

    def first_token(self, text: str, *, read: int = 1) -> float:
        """Seconds until the first text of a streamed answer; the connection is closed after `read` pieces."""
        began = time.perf_counter()
        with self._asked(text, LONG_ANSWER if read > 1 else NEW_TOKENS, stream=True) as response:
            first = None
            for line in response:
                if b'"content"' not in line or b'"content":""' in line.replace(b" ", b""):
                    continue
                first = first or time.perf_counter() - began
                read -= 1
                if not read:
                    break
        assert first is not None
        return first

    def add_adapter(self, name: str, folder: Path) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("POST", "/adapters", json.dumps({"name": name, "src": str(folder)}))
        assert connection.getresponse().status == 200
        connection.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, text: str) -> int:
        with self._asked(text, NEW_TOKENS, stream=False) as response:
            return int(json.loads(response.read())["usage"]["completion_tokens"])

    @contextmanager
    def _asked(self, text: str, max_tokens: int, *, stream: bool) -> Iterator[Any]:
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": max_tokens}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            headers = {"Content-Type": "application/json"}
            if self.adapters:
                headers["X-Amzn-SageMaker-Adapter-Identifier"] = self.adapters[len(text) % len(self.adapters)]
            connection.request("POST", self._path, json.dumps({**body, "stream": stream}), headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield response
        finally:
            connection.close()

    def _answers(self, path: str) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def ours(model: Path, folder: Path) -> Served:
    root = folder / "root"
    root.mkdir()
    (root / "model").symlink_to(model.resolve())
    port = free_port()
    command = [sys.executable, "-m", "trainer.serve", "--root", str(root), "--port", str(port)]
    return Served(command, port, "/invocations", "/ping")


def ours_with_adapters(model: Path, folder: Path) -> Served:
    """Each request asks for one of four adapters, which change nothing: the tokens are those of the base."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    (folder / "many").mkdir()
    server, names = ours(model, folder / "many"), ("a", "b", "c", "d")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), LoraConfig(r=8, target_modules="all-linear"))
    adapted.save_pretrained(folder / "adapter")
    for name in names:
        server.add_adapter(name, folder / "adapter")
    server.adapters = names
    return server


def llama_cpp(model: Path, folder: Path) -> Served:
    file, port = folder / "model-f32.gguf", free_port()
    subprocess.run([sys.executable, "-m", __spec__.name, "--model", str(model), "--gguf", str(file)], check=True)
    command = [sys.executable, "-m", __spec__.name, "--model", str(file), "--llama-port", str(port)]
    return Served(command, port, "/v1/chat/completions", "/health")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SIDES: dict[str, Callable[[Path, Path], Any]] = {
    REFERENCE: lambda model, _: Worker("generate", model),
    "ours": ours,
    "ours, four adapters in turn": ours_with_adapters,
    "transformers' continuous batching": lambda model, _: Worker("continuous", model),
    "llama.cpp's server": llama_cpp,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a safetensors snapshot")
    parser.add_argument("--turns", type=int, default=3, help="how often each is measured")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    parser.add_argument("--gguf", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--llama-port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.update(OMP_WAIT_POLICY="passive", HF_HUB_OFFLINE="1")
    if given.worker:
        work(WORKERS[given.worker](given.model))
    elif given.gguf:
        write_gguf(given.model, given.gguf)
    elif given.llama_port:
        serve_llama_cpp(given.model, given.llama_port)
    else:
        compare(given.model, given.turns)


def compare(model: Path, turns: int) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        sides = {}
        for side, start in SIDES.items():
            if side.startswith("llama") and importlib.util.find_spec("xllamacpp") is None:
                print("llama.cpp's server is left out: xllamacpp is not installed.")
                continue
            sides[side] = start(model, Path(name))
            running.callback(sides[side].close)
        rates: dict[tuple[str, int], list[list[float]]] = {}
        for turn in range(turns):
            for concurrency in CONCURRENCY:
                for side, engine in sides.items():
                    rates.setdefault((side, concurrency), []).append(rate(engine, concurrency))
            print(f"turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
        report(list(sides), {key: [max(kind) for kind in zip(*each, strict=True)] for key, each in rates.items()})
        report_first_tokens({side: engine for side, engine in sides.items() if isinstance(engine, Served)}, turns)


def rate(engine: Any, concurrency: int) -> list[float]:
    """Tokens per second, and per second of processor time."""
    began, used = time.perf_counter(), cpu_seconds(engine.pid)
    tokens = engine.tokens(prompts(REQUESTS[concurrency]), concurrency)
    return [tokens / (time.perf_counter() - began), tokens / (cpu_seconds(engine.pid) - used)]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(sides: list[str], best: dict[tuple[str, int], list[float]]) -> None:
    print("\n| tokens/s (to the reference; by processor time) | " + " | ".join(f"{c} at once" for c in CONCURRENCY))
    print("|---" * (len(CONCURRENCY) + 1) + "|")
    for side in sides:
        cells = []
        for concurrency in CONCURRENCY:
            wall, cpu = best[side, concurrency]
            # The reference is the same work whatever waits.
            base = [max(best[REFERENCE, each][kind] for each in CONCURRENCY) for kind in (0, 1)]
            cells.append(f"{wall:.1f} ({wall / base[0]:.2f} x; {cpu / base[1]:.2f} x)")
        print(f"| {side} | " + " | ".join(cells) + " |")


def report_first_tokens(servers: dict[str, Served], turns: int) -> None:
    print("\n| seconds to the first token, median (worst) | " + " | ".join(f"{c} at once" for c in CONCURRENCY), end="")
    print(" | while another answers |\n" + "|---" * (len(CONCURRENCY) + 2) + "|")
    for side, engine in servers.items():
        cells = []
        for concurrency in CONCURRENCY:
            with ThreadPoolExecutor(concurrency) as pool:
                seconds = [each for _ in range(turns) for each in pool.map(engine.first_token, prompts(concurrency))]
            cells.append(f"{statistics.median(seconds):.2f} ({max(seconds):.2f})")
        late = [second_in_line(engine) for _ in range(turns)]
        cells.append(f"{statistics.median(late):.2f} ({max(late):.2f})")
        print(f"| {side} | " + " | ".join(cells) + " |")


def second_in_line(engine: Served) -> float:
    """Seconds to the first token of a request that comes half a second after one with a long answer."""
    first, second = prompts(2)
    ahead = threading.Thread(target=engine.first_token, args=[first], kwargs={"read": LONG_ANSWER - 8})
    ahead.start()
    time.sleep(0.5)
    took = engine.first_token(second)
    ahead.join()
    time.sleep(1)  # what both have left unread is not generated any longer
    return took


# --- inside the processes ----------------------------------------------------------------------------------------


def work(answer: Callable[[list[str], int], int]) -> None:
    for line in sys.stdin:
        print(answer(*json.loads(line)), flush=True)


def _loaded(model: Path) -> tuple[Any, Callable[[str], list[int]]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()

    def encoded(text: str) -> list[int]:
        turn = [{"role": "user", "content": text}]
        return list(tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"])

    return loaded, encoded


def generate_worker(model: Path) -> Callable[[list[str], int], int]:
    import torch

    loaded, encoded = _loaded(model)

    def answer(texts: list[str], concurrency: int) -> int:
        tokens = 0
        for ids in map(encoded, texts):
            with torch.inference_mode():
                given = torch.tensor([ids])
                output = loaded.generate(
                    input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False
                )
            tokens += output.shape[1] - len(ids)
        return tokens

    return answer


def continuous_worker(model: Path) -> Callable[[list[str], int], int]:
    from transformers import ContinuousBatchingConfig, GenerationConfig

    loaded, encoded = _loaded(model)
    settings = GenerationConfig(
        do_sample=False, eos_token_id=loaded.generation_config.eos_token_id, max_new_tokens=NEW_TOKENS
    )
    # Sized for this load; what it would take by itself is meant for a GPU's memory.
    sizes = ContinuousBatchingConfig(page_size=32, num_blocks=128, max_batch_tokens=512, max_requests_per_batch=16)
    manager = loaded.init_continuous_batching(generation_config=settings, continuous_batching_config=sizes)
    manager.start()

    def answer(texts: list[str], concurrency: int) -> int:
        waiting, tokens, under_way = [encoded(text) for text in texts], 0, 0
        while waiting or under_way:
            while waiting and under_way < concurrency:
                manager.add_request(waiting.pop(), max_new_tokens=NEW_TOKENS)
                under_way += 1
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                tokens, under_way = tokens + len(result.generated_tokens), under_way - 1
        return tokens

    return answer


WORKERS = {"generate": generate_worker, "continuous": continuous_worker}


def write_gguf(model: Path, file: Path) -> None:
    """The export's own writer, with every weight in fp32."""
    import gguf

    from trainer.exports import gguf_model
    from trainer.exports.source import Source

    source = Source(model, model)
    with mock.patch.object(gguf_model, "_kind", return_value=gguf.GGMLQuantizationType.F32):
        gguf_model.write_f16(source, source.load("float32"), file.parent)
    (file.parent / "model-f16.gguf").rename(file)


def serve_llama_cpp(file: Path, port: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.port, params.n_parallel, params.n_ctx = port, max(CONCURRENCY), max(CONCURRENCY) * 512
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
