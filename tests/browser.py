"""Headless Chromium for the tests of the memory page. `python -m tests.browser` installs it.

It is taken from the PATH, or installed by apt-get where that is there and this is root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

__all__ = ["BrowserMissingError", "browser", "ensure_browser"]

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DRIVER = "chromedriver"
_PACKAGES = ("chromium", "chromium-driver")
_ADVICE = (
    "The tests of the memory page need Chromium: as root, `apt-get update && apt-get install -y "
    "chromium chromium-driver` (Debian), or put a chromium and its chromedriver on the PATH."
)
_SWITCHES = (
    "headless",
    "no-sandbox",  # Chromium's own sandbox does not start as root
    "disable-gpu",
    "disable-dev-shm-usage",  # containers have little shared memory
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


class BrowserMissingError(RuntimeError):
    """There is no browser, and none can be installed."""


def ensure_browser() -> tuple[str, str]:
    """Find Chromium and its driver; install them where they are missing.

    Returns:
        Their paths.

    Raises:
        BrowserMissingError: They are missing and can not be installed; one sentence tells how to.
    """
    # Several test processes may come here at once, and apt-get runs only once at a time.
    with (Path(tempfile.gettempdir()) / "mhm-browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := _found():
            return found
        if shutil.which("apt-get") and os.geteuid() == 0:
            _install()
    if found := _found():
        return found
    raise BrowserMissingError(_ADVICE)


def _found() -> tuple[str, str] | None:
    chromium = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which(_DRIVER)
    return (chromium, driver) if chromium and driver else None


def _install() -> None:
    print(f"Installing {' and '.join(_PACKAGES)} by apt-get.", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    for command in (["update"], ["install", *options, *_PACKAGES]):
        done = subprocess.run(  # noqa: S603  # fixed words
            ["apt-get", "-qq", *command],  # noqa: S607  # wherever the system has it
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            told = " ".join(done.stderr.split())[-300:]
            raise BrowserMissingError(f"{_ADVICE} apt-get {command[0]} failed: {told}")


@contextmanager
def browser(folder: Path, width: int = 1200, height: int = 900) -> Iterator[Chrome]:
    """A headless Chromium with a new profile, that keeps what pages write to its console.

    Args:
        folder: An empty folder for its profile.
        width: Of its window, in pixels.
        height: Of its window, in pixels.

    Yields:
        The browser, as selenium drives it.
    """
    chromium, driver = ensure_browser()
    options = ChromeOptions()
    options.binary_location = chromium
    for switch in (*_SWITCHES, f"window-size={width},{height}", f"user-data-dir={folder}"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


if __name__ == "__main__":
    try:
        print(*ensure_browser(), sep="\n")
    except BrowserMissingError as error:
        sys.exit(str(error))
