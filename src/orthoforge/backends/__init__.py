"""Engines that compute a trained network: a backend is called with the network's inputs, by name, and gives its output."""

from orthoforge.backends.names import BACKENDS, Backend, BackendName

__all__ = ["BACKENDS", "Backend", "BackendName"]
