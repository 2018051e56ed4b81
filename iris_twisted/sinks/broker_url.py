"""
The URLs of brokers, as C{--sink} has them: with parameters, and without a password.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from ..errors import IncorrectParameters
from ..net.client_certificate import ClientCertificate, certificateOf
from ..net.durations import checkSeconds
from ..net.loopback import isLoopback
from ..net.secret_files import readSecretFile

__all__ = ["TLS_PARAMETERS", "BrokerUrl", "readParameters", "readSeconds", "requireExtra"]

# The parameters of a broker that may ask for a client certificate.
TLS_PARAMETERS = ("certificate-file", "key-file")


def requireExtra(kind: str, module: str, library: str) -> None:
    """
    See that a library is installed, without importing it.

    @param kind: the name of the sink, and of the extra of iris-twisted that brings the library.
    @param module: what is imported of the library.
    @param library: its name on PyPI.
    @raise IncorrectParameters: when it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise IncorrectParameters(
            f"sink {kind} needs {library}: pip install 'iris-twisted[{kind}]'"
        )


def readParameters(kind: str, query: str, known: Collection[str]) -> dict[str, str]:
    """
    What stands behind the question mark.

    @raise IncorrectParameters: naming one that is unknown or stands there twice.
    """
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        if query:
            raise IncorrectParameters(
                f"sink {kind}: what stands behind ? must be name=value&name=value"
            ) from None
        pairs = []
    for name, value in pairs:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise IncorrectParameters(
                f"sink {kind}: the parameter {name[:40]!r} is none of "
                f"{', '.join(sorted(known))}{hint}"
            )
        if name in found:
            raise IncorrectParameters(f"sink {kind}: the parameter {name} stands there twice")
        found[name] = value
    return found


def readSeconds(kind: str, parameters: Mapping[str, str], name: str, default: float) -> float:
    """
    A parameter that is a duration, in seconds.

    @raise IncorrectParameters: when it is no number above zero.
    """
    text = parameters.get(name)
    if text is None:
        return default
    try:
        return checkSeconds(name, float(text))
    except ValueError:  # Which IncorrectParameters is too.
        raise IncorrectParameters(
            f"sink {kind}: {name} must be a number of seconds above zero, not {text!r}"
        ) from None


@attrs.frozen
class BrokerUrl:
    """
    The URL of a broker, checked.

    @ivar kind: the sink's name, as in C{amqp:...}.
    @ivar secure: whether it is spoken to by TLS.
    @ivar path: behind host and port, percent-encoded as it came.
    @ivar user: C{None} for none.
    @ivar parameters: what stood behind the question mark.
    """

    kind: str
    secure: bool
    scheme: str
    host: str
    port: int
    path: str
    user: str | None
    parameters: Mapping[str, str]

    @classmethod
    def parse(
        cls,
        kind: str,
        argument: str,
        schemes: Mapping[str, tuple[bool, int]],
        known: Collection[str],
        insecure: bool,
    ) -> BrokerUrl:
        """
        @param argument: the URL; C{//host...} has the kind for its scheme.
        @param schemes: whether each is TLS, and its port.
        @param known: the parameters that there are.
        @param insecure: whether calls and password may travel in plain text.
        @raise IncorrectParameters: naming what is wrong, without a secret.
        """
        wanted = f"sink {kind} needs a URL: {kind}:{list(schemes)[-1]}://..."
        if argument.startswith("//"):
            argument = f"{kind}:{argument}"
        try:
            parts = urlsplit(argument)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise IncorrectParameters(wanted) from None
        if parts.scheme not in schemes or not host or " " in argument:
            raise IncorrectParameters(wanted)
        if not argument.isprintable() or parts.fragment:
            raise IncorrectParameters(wanted)
        if parts.password is not None:
            raise IncorrectParameters(
                f"sink {kind}: its URL must hold no password, since anybody on this machine can "
                f"read it there: use password-file=PATH, or the environment variable "
                f"{_variable(kind)}"
            )
        secure, default = schemes[parts.scheme]
        if not (secure or insecure or isLoopback(host)):
            raise IncorrectParameters(
                f"sink {kind}: {host} would get the calls unencrypted: use {list(schemes)[-1]}://"
            )
        user = None if parts.username is None else unquote(parts.username)
        parameters = readParameters(kind, parts.query, known)
        return cls(kind, secure, parts.scheme, host, port or default, parts.path, user, parameters)

    @property
    def origin(self) -> str:
        """C{scheme://host:port}: what may be shown of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def password(self) -> str | None:
        """
        Of the file that it names, or of the environment; C{None} when there is none.

        @raise IncorrectParameters: when the file cannot be read.
        """
        path = self.parameters.get("password-file")
        if path is not None:
            return readSecretFile(f"sink {self.kind}: the password", path)
        return os.environ.get(_variable(self.kind))

    def certificate(self) -> ClientCertificate | None:
        """
        Ours, for a broker that asks for one; C{None} when there is none.

        @raise IncorrectParameters: when it cannot be used.
        """
        path, keyPath = (self.parameters.get(name) for name in TLS_PARAMETERS)
        certificate = certificateOf(f"sink {self.kind}: the certificate", path, keyPath)
        if certificate is not None and not self.secure:
            raise IncorrectParameters(
                f"sink {self.kind}: certificate-file is for TLS, and {self.scheme}:// is none"
            )
        return certificate

    def seconds(self, name: str, default: float) -> float:
        """See L{readSeconds}."""
        return readSeconds(self.kind, self.parameters, name, default)

    def count(self, name: str, default: int) -> int:
        """
        A parameter that is a whole number.

        @raise IncorrectParameters: when it is none above zero, or longer than any that makes sense.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 18 and int(text) > 0):
            raise IncorrectParameters(
                f"sink {self.kind}: {name} must be a whole number above zero, not {text!r}"
            )
        return int(text)


def _variable(kind: str) -> str:
    return f"IRIS_{kind.upper()}_PASSWORD"
