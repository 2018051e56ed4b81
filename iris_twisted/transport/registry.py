"""
Which transport serves a URL scheme: the plugins of C{twisted.plugins}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from twisted import plugin, plugins

from .destination import Scheme
from .interfaces import ITransportProvider

__all__ = ["TransportRegistry"]


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> tuple[ITransportProvider, ...]:
    """The plugins in these folders; to look for them takes milliseconds."""
    return tuple(plugin.getPlugins(ITransportProvider))


class TransportRegistry:
    """
    The transports to choose from.

    @param providers: those to use; C{None} for all plugins that are installed.
    """

    def __init__(self, providers: Iterable[ITransportProvider] | None = None) -> None:
        if providers is None:
            providers = _installed(tuple(plugins.__path__))
        self._providers: dict[str, ITransportProvider] = {}
        self._schemes: dict[str, Scheme] = {}
        for provider in providers:
            for scheme in provider.schemes:
                # The same plugin can stand on sys.path twice: the first one is it.
                self._providers.setdefault(scheme.name, provider)
                self._schemes.setdefault(scheme.name, scheme)

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        """By name, all schemes that are served."""
        return self._schemes

    def serving(self, scheme: Scheme) -> ITransportProvider:
        """The provider of a scheme of L{schemes}."""
        return self._providers[scheme.name]
