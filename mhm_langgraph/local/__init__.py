"""A real small language model on this machine: no key, no account, no network."""

from mhm_langgraph.local.server import LocalServer, local_weights, serve_local, shared_server

__all__ = ["LocalServer", "local_weights", "serve_local", "shared_server"]
