"""The dashboard at `/` of the API's port, where it was built: to whoever wants a page, and no one else."""

import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.dashboard import ASSET_CACHE, HEADERS, PAGE_CACHE
from infra.local.emulator import Send

_ASSET = re.compile(r"/assets/([A-Za-z0-9_-][A-Za-z0-9._-]*)")


class Pages:
    """Static files of one folder; a folder that is not there has none.

    Args:
        folder: the built files, `index.html` and `assets/`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, scope: Mapping[str, Any]) -> Path | None:
        """The file that a request asks for; None: it is the API's."""
        if scope["method"] not in ("GET", "HEAD"):
            return None
        path = self._wanted(scope["path"], dict(scope["headers"]).get(b"accept", b""))
        return path if path and path.is_file() else None

    def _wanted(self, path: str, accept: bytes) -> Path | None:
        # The API answers at `/` too, in JSON; only browsers ask for HTML by name.
        if path == "/index.html" or (path == "/" and b"text/html" in accept.lower()):
            return self._folder / "index.html"
        asset = _ASSET.fullmatch(path)
        return self._folder / "assets" / asset[1] if asset else None

    async def send(self, scope: Mapping[str, Any], path: Path, send: Send) -> None:
        """Answer with a file that was found."""
        page = path.name == "index.html"
        content = path.read_bytes()
        told = {
            **HEADERS,
            "Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "Content-Length": str(len(content)),
            "Cache-Control": PAGE_CACHE if page else ASSET_CACHE,
            **({"Vary": "Accept"} if page else {}),
        }
        headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
