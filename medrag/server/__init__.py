"""medrag as a server: HTTP with server-sent events, the OpenAI dialect, MCP, and a web page. ``pip install "medrag[server]"``."""

from __future__ import annotations

from medrag.server.app import create_app, serve, warm
from medrag.server.settings import ServerSettings, settings_of

__all__ = ["ServerSettings", "create_app", "serve", "settings_of", "warm"]
