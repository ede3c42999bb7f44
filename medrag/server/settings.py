"""What may be set of a server; `medrag serve --help` shows the same by option."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from pydantic import Field

from medrag.errors import SettingsError
from medrag.settings import Strict, parse


class ServerSettings(Strict):
    """Closed unless opened: loopback alone, no other origin, and no stranger without a token."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    tokens: tuple[str, ...] = ()  # bearer tokens that are let in; none: everyone who reaches the port
    labels: dict[str, tuple[str, ...]] = Field({})  # held by each token; one that is not named holds the pipeline's
    hosts: tuple[str, ...] = ()  # names by which the server may be called beside its own and the loopback's
    origins: tuple[str, ...] = ()  # other sites whose pages may call it (CORS)
    upload_mb: float = Field(64, gt=0)  # of one request, all images together
    images: int = Field(8, ge=1)  # of one question
    timeout: float = Field(120, gt=0)  # seconds that one answer may take, waiting included
    workers: int = Field(1, ge=1)  # answers that are made at once; one uses all cores already
    waiting: int = Field(16, ge=0)  # requests in line beside them; the next one is told to come again
    remembered: int = Field(16, ge=0)  # answers kept in memory with their images, for their page
    reports: Path | None = None  # a folder of evaluation reports (HTML) that the page lists


def settings_of(**options: Any) -> ServerSettings:
    """Checked settings. Raises SettingsError, also for a server that others reach and everyone may use."""
    if any(isinstance(held, str) for held in dict(options.get("labels") or {}).values()):  # whose place is a token
        raise SettingsError("labels: those of a token are a text", "give a list of labels for each token")
    settings: ServerSettings = parse(ServerSettings, options, "server")
    if not (settings.tokens or is_loopback(settings.host)):
        raise SettingsError(
            f"{settings.host} can be reached from other machines, and no token is asked for",
            "set MEDRAG_TOKEN, or keep --host 127.0.0.1",
        )
    if strange := settings.labels.keys() - set(settings.tokens):
        raise SettingsError(f"{len(strange)} of the tokens that have labels are not let in", "add them to MEDRAG_TOKEN")
    if short := [token for token in settings.tokens if len(token) < 16]:
        raise SettingsError(
            f"a token of {len(short[0])} characters can be guessed", 'python -c "import secrets; print(secrets.token_urlsafe(24))"'
        )  # fmt: skip
    if not all(token.isascii() and token.isprintable() for token in settings.tokens):
        raise SettingsError("a token has signs that no header carries", "use letters and digits of ASCII")
    return settings


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nobody else's."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
