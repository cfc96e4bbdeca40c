"""Checks of what a home needs around it: Python, packages, sockets, locks, the starter model."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from mysticanvas import settings, transport
from mysticanvas.errors import MystiCanvasError
from mysticanvas.home import LOCAL_STATE
from mysticanvas.locks import FileLock
from mysticanvas.orchestrator import models
from mysticanvas.orchestrator.doctor.home import Found, Home, some

PACKAGE = "mysticanvas"
_NAMED = ("torch", "diffusers", "transformers", "duckdb")
_SOCKET_S = 2.0
_LEAST_WEIGHTS = 1 << 10
"""Bytes. What is smaller is a note of where the file is, left by a checkout without Git LFS."""


def python(_home: Home, _repair: bool) -> Found:
    """Python has a version that this package is made for."""
    version = platform.python_version()
    try:
        wanted = importlib.metadata.metadata(PACKAGE)["Requires-Python"] or ""
    except importlib.metadata.PackageNotFoundError:
        return Found("ok", f"Python {version}; the package is used without being installed.")
    said = f"Python {version} in {sys.prefix}."
    if not Requirement(f"python{wanted}").specifier.contains(version, prereleases=True):
        hint = f"Make an environment with Python {wanted}, and install it there."
        return Found("problem", said, hint)
    return Found("ok", said)


def packages(_home: Home, _repair: bool) -> Found:
    """Every package that is needed is there, in a version that works."""
    try:
        wanted = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        wanted = []
    wrong = list(_wrong(map(Requirement, wanted)))
    if wrong:
        hint = f"`{sys.executable} -m pip install --upgrade {PACKAGE}` brings them."
        return Found("problem", "Packages are missing, or of a wrong version.", hint, some(wrong))
    versions = ", ".join(f"{name} {_version(name)}" for name in _NAMED if _version(name))
    return Found("ok", f"{len(wanted)} are as they have to be; {versions}.")


def loopback(_home: Home, _repair: bool) -> Found:
    """A process can be talked to on a free port of the loopback interface."""
    try:
        listener = transport.listen("tcp", Path())
        try:
            listener.socket.settimeout(_SOCKET_S)
            with transport.connect(listener.url, _SOCKET_S), listener.socket.accept()[0]:
                return Found("ok", "A free port of 127.0.0.1 can be listened on, and reached.")
        finally:
            listener.close()
    except (OSError, MystiCanvasError) as error:
        hint = "A firewall or a sandbox keeps processes of this machine from talking."
        return Found("problem", f"127.0.0.1 cannot be used: {error}.", hint)


def starter(_home: Home, _repair: bool) -> Found:
    """The model that ships is there."""
    folder = settings.data_folder() / models.STARTER_FOLDER
    try:
        model = models.describe(folder, _not_hashed)
    except (MystiCanvasError, OSError) as error:
        hint = f"Install {PACKAGE} again; in a checkout, `git lfs pull`. Other models work."
        return Found("warning", f"The starter model is not usable: {error}", hint)
    return Found("ok", f"The starter model is there, in {len(model.files)} files.")


def locks(home: Home, _repair: bool) -> Found:
    """The file system of the home holds locks: two processes must never have the store."""
    path = home.paths.run / "doctor.lock"
    first, second = FileLock(path), FileLock(path)
    try:
        if not first.acquire():
            return Found("ok", "Another doctor holds the lock right now, so it does.")
        if second.acquire():
            return Found("problem", "Two at a time get the same lock.", LOCAL_STATE)
    except OSError as error:
        said = f"No lock can be had: {error.strerror or error}."
        return Found("problem", said, LOCAL_STATE)
    else:
        return Found("ok", "A lock that is taken stays so.")
    finally:
        first.release()
        second.release()
        path.unlink(missing_ok=True)


def _wrong(wanted: Iterator[Requirement]) -> Iterator[str]:
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None:
            yield f"{requirement}: missing"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement}: {version} is installed"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _not_hashed(path: Path) -> str:
    if path.suffix == ".safetensors" and path.stat().st_size < _LEAST_WEIGHTS:
        raise OSError(f"{path.name} holds no weights")
    return ""
