"""A chat through the platform (API, function, signing, SageMaker's call) against the same asked of its engine directly.

    .venv/bin/python -m tests.benchmarks.platform_overhead [--rounds 30]

Starts a local cloud of its own, deploys SmolLM2-135M-Instruct and asks both in turns, warm; both reach the one process
that generates. What the platform adds does not depend on how long the answer is, so it is taken where the engine's own
noise is smallest, as the median of the differences over answers of one token, and told as a share of what the engine
takes for 64. The emulator stands for API Gateway, Lambda and SageMaker, whose own times are other ones on AWS.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from infra.local.seed import BASE_MODELS
from tests.journey.customer import Customer
from tests.journey.local_cloud import LocalCloud, wait_for
from tests.journey.test_serving import deploy, servers

MODEL = BASE_MODELS["demo"][1]
NEW_TOKENS = 64
QUESTION = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Tell me a long story about the sea."}],
    "temperature": 0,
}
_WARM_UP = 3
_DEPLOY_SECONDS = 300


class DemoCloud(LocalCloud):
    """With the demo's base model."""

    def command(self, name: str) -> list[str]:
        return ["demo" if word == "tiny" else word for word in super().command(name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="pairs of one-token answers")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cloud = DemoCloud(Path(folder) / "state")
        cloud.start()
        try:
            measure(cloud, given.rounds)
        finally:
            cloud.stop()


def measure(cloud: LocalCloud, rounds: int) -> None:
    with cloud.http() as platform:
        deployed(platform)
        with httpx.Client(base_url=f"http://127.0.0.1:{engine_port(cloud)}", timeout=60) as engine:
            short = [both(engine, platform, 1) for _ in range(_WARM_UP + rounds)][_WARM_UP:]
            long = [both(engine, platform, NEW_TOKENS) for _ in range(max(3, rounds // 4))]
    added = [1000 * (through - direct) for direct, through in short]
    whole, through = (1000 * statistics.median(side) for side in zip(*long, strict=True))
    share = statistics.median(added) / whole
    print(f"engine, {NEW_TOKENS} tokens: {whole:.0f} ms; through the platform: {through:.0f} ms")
    print(f"added, median of {rounds}: {statistics.median(added):.0f} ms (least {min(added):.0f}), {share:.1%} of that")


def both(engine: httpx.Client, platform: httpx.Client, tokens: int) -> tuple[float, float]:
    """Seconds of an answer of so many tokens: of the engine itself, and through the platform."""
    return seconds(engine, "/invocations", tokens), seconds(platform, "/v1/chat/completions", tokens)


def deployed(platform: httpx.Client) -> None:
    customer = Customer(platform)
    name = deploy(customer, MODEL)

    def look() -> bool:
        found = customer.call("GET", f"/v2/training/deployments/{name}")
        assert found["status"] in ("deploying", "active"), found
        return bool(found["status"] == "active")

    wait_for(look, _DEPLOY_SECONDS, f"{name} is active")


def engine_port(cloud: LocalCloud) -> int:
    (server,) = servers(cloud)
    words = Path(f"/proc/{server}/cmdline").read_text().split("\0")
    return int(words[words.index("--port") + 1])


def seconds(client: httpx.Client, path: str, tokens: int) -> float:
    began = time.perf_counter()
    answer = client.post(path, json=QUESTION | {"max_tokens": tokens})
    took = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = json.loads(answer.content)
    assert content["usage"]["completion_tokens"] == tokens, content
    return took


if __name__ == "__main__":
    main()
