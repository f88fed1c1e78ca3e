"""What importing the client costs: neither AWS nor the server, and less than half a second."""

import subprocess
import sys

CHECK = """
import sys, time
started = time.process_time()
import luthier.client
{more}
took = time.process_time() - started
own = {{name for name in sys.modules if name.split(".")[0] == "luthier"}}
server = {{name for name in own if not name.startswith("luthier.client")}} - {{"luthier", {allowed}}}
heavy = {{"boto3", "botocore", "aws_lambda_powertools", "typer", "rich", "msgspec", "functions"}} & set(sys.modules)
assert not server | heavy, server | heavy
print(took)
"""
EVERYTHING = """
from luthier.client import AsyncLuthier, Luthier
import importlib, pkgutil, luthier.client.api
for module in pkgutil.iter_modules(luthier.client.api.__path__):
    importlib.import_module(f"luthier.client.api.{module.name}")
"""


def seconds(more: str = "", allowed: str = "") -> float:
    """Of the processor, which other programs disturb less than the clock; the best of three."""
    check = CHECK.format(more=more, allowed=allowed)
    return min(float(subprocess.check_output([sys.executable, "-c", check], text=True)) for _ in range(3))


def limit() -> float:
    """Half a second, or on a slow machine thrice what httpx and pydantic take to load there, processor seconds."""
    program = "import time; import httpx, pydantic; print(time.process_time())"
    return max(0.5, 3 * float(subprocess.check_output([sys.executable, "-c", program], text=True)))


def test_importing_the_package_is_free() -> None:
    assert seconds() < limit()


def test_importing_a_client_loads_neither_aws_nor_the_server() -> None:
    assert seconds("from luthier.client import AsyncLuthier, Luthier") < limit()


def test_all_of_it_needs_the_signatures_of_webhooks_only() -> None:
    seconds(EVERYTHING, allowed='"luthier.webhooks", "luthier.webhooks.signing"')
