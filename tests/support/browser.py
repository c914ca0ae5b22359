"""A headless Chromium, driven through its DevTools protocol; nothing here waits for a fixed time."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

# Chromium's own names of the keys that are not letters.
_CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Backspace": 8}
_SECONDS = 60


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, if one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Page:
    """The one page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self._downloads: dict[str, str] = {}  # what was reported of downloads: suggestedFilename, state
        self.errors: list[str] = []  # of scripts
        self.requests: list[str] = []  # URLs

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a DevTools command."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    async def open(self, url: str) -> None:
        """Load a page, and wait until it has run its scripts."""
        await self.call("Page.navigate", url=url)
        await self.wait("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; that of a promise once it is known."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true, looking at every frame."""
        await self.evaluate(
            "new Promise(done => "
            f"(function look() {{ ({condition}) ? done() : requestAnimationFrame(look) }})())"
        )

    async def press(self, key: str) -> None:
        """Press and release a key, as a person does."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = _CODES.get(key, ord(key.upper()[0]))
        for kind in ("keyDown", "keyUp"):
            extra = text if kind == "keyDown" else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    async def download(self, expression: str, folder: Path) -> Path:
        """The file that the page saves when the expression is evaluated."""
        await self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True
        )
        self._downloads.clear()
        await self.evaluate(f"void ({expression})")
        while self._downloads.get("state") != "completed":
            await self._receive()
        return folder / self._downloads["suggestedFilename"]

    async def screenshot(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        """A picture of the page in a window of this size."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))

    async def _receive(self) -> dict[str, Any]:
        message = json.loads((await asyncio.wait_for(self._socket.receive(), _SECONDS)).data)
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message.get("method", "").startswith("Browser.download"):
            self._downloads |= message["params"]
        return message


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """A browser with its profile in this folder: what pages store is still there the next time."""
    program = find_chromium()
    assert program is not None
    profile.mkdir(exist_ok=True)
    (profile / "DevToolsActivePort").unlink(missing_ok=True)
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--mute-audio")
    process = await asyncio.create_subprocess_exec(
        program, *options, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        address = await asyncio.wait_for(_address(process), _SECONDS)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/json/list") as response:
                (target,) = [each for each in await response.json() if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
                await page.call("Browser.close")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where the browser listens, which it reports on stderr."""
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if "DevTools listening on ws://" in line:
            return "http://" + line.split("ws://")[1].split("/")[0]
    raise RuntimeError("Chromium ended before it listened")
