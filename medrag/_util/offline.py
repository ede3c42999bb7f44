"""Offline, enforced: with MEDRAG_OFFLINE=1 nothing in this process reaches another machine, whatever library would like to.

Python tells an audit hook of every connection and every name that is looked up (PEP 578); the hook refuses those that are not of this machine.
A hook cannot be taken out again. It does not see what another program does that this one starts, nor C code that calls the system itself.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

from medrag.errors import OfflineError

VARIABLE = "MEDRAG_OFFLINE"
_LOCAL = {"", "localhost", "ip6-localhost", "0.0.0.0", "::"}
_SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}  # (socket, address)
_LOOKS_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}  # (name, …)
_enforced = False


def asked() -> bool:
    """Whether the environment asks for it: by any value that does not say no."""
    return os.environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off", "n", "f")


def enforce_if_asked() -> None:
    """From here on, where the environment asks for it; a second call does nothing."""
    global _enforced
    if asked() and not _enforced:
        _enforced = True
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # so that the hub's library does not even try
        sys.addaudithook(_watch)


def refuse_if_asked(host: str) -> None:
    """For libraries whose own C code opens the connection: raises OfflineError for another machine, where the environment asks for it."""
    if asked():
        _refuse_other(host)


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event in _SENDS or event == "socket.getnameinfo":
        address = args[-1]
        if isinstance(address, tuple) and address:  # a socket of this machine has a path, or nothing
            _refuse_other(address[0])
    elif event in _LOOKS_UP:
        _refuse_other(args[0])


def _refuse_other(host: Any) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    if name.lower() in _LOCAL or _is_loopback(name):
        return
    raise OfflineError(
        f"{VARIABLE} is set, and something wanted to reach {name}", f"unset {VARIABLE} if that was meant"
    )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
