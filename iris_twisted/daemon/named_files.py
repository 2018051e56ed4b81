"""
What stands in the files that a configuration names, read before anything starts: tokens, secrets
and certificates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..net.client_certificate import certificateOf
from ..net.secret_files import readSecretFile, readToken
from ..sinks.context import SinkContext
from ..sinks.formats import formatNamed
from ..sinks.webhook import readSecret
from .account_login import authManager
from .accounts import Account
from .configuration import Configuration

__all__ = ["sinkContext", "tokensOf"]


def tokensOf(configuration: Configuration) -> dict[Account, str | None]:
    """
    The token of each account, C{None} for those that log in; every other secret is
    read too, so that what cannot be is known before anything starts.

    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    tokens: dict[Account, str | None] = {}
    for account in configuration.accounts:
        token = account.token
        if account.tokenFile is not None:
            token = readToken(account.tokenFile)
        authManager(configuration, account, None)
        tokens[account] = token
    return tokens


def sinkContext(
    configuration: Configuration, reactor: Any, write: Callable[[str], None]
) -> SinkContext:
    """
    What the sinks may use.

    @raise IncorrectParameters: when the secret or the certificate for webhooks cannot be read, or
        is none.
    """
    path = configuration["webhook-secret-file"]
    if path is not None:
        readSecret(readSecretFile("the webhook secret", path))
    return SinkContext(
        reactor=reactor,
        write=write,
        settings=configuration.settings,
        execTimeout=configuration["exec-timeout"],
        webhookTimeout=configuration["webhook-timeout"],
        webhookSecretFile=path,
        webhookCertificate=certificateOf(
            "the webhook certificate",
            configuration["webhook-certificate-file"],
            configuration["webhook-key-file"],
        ),
        format=formatNamed(configuration["format"]),
    )
