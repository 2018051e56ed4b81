"""
What librdkafka's errors mean for a call, and for who set up the sink.

As L{kafka_producer}, it imports confluent-kafka, and only a sink that is used imports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

__all__ = [
    "NOBODY_ANSWERS",
    "REFUSING",
    "SAYS_NOTHING",
    "errorOf",
    "isMistake",
    "reasonOf",
    "refusedSettings",
]

_LONGEST_REASON = 200
_NAME = re.compile(r"[\w.]+")

# What no other attempt cures: the call itself is wrong for this topic. Brokers say it of a batch,
# for the sake of one message in it.
REFUSING = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
)
# What somebody has to change before anything can be given.
_MISTAKES = (
    KafkaError._AUTHENTICATION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
# Which librdkafka has no numbers for. Alerts are numbered by RFC 8446 section 6: a handshake that
# failed, for one for want of a certificate of ours; one that is bad, unknown, of an unknown CA, or
# required.
_CERTIFICATE = re.compile(r"certificate verify failed|SSL alert number (40|42|46|48|116)\b")
# What is said of a question that nobody answered.
NOBODY_ANSWERS = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT)
# What does not say why.
SAYS_NOTHING = (
    KafkaError._MSG_TIMED_OUT,
    KafkaError._PURGE_INFLIGHT,
    KafkaError._PURGE_QUEUE,
)


def isMistake(error: KafkaError) -> bool:
    """Whether somebody has to change something before anything can be given."""
    return error.code() in _MISTAKES or _CERTIFICATE.search(error.str()) is not None


def reasonOf(error: KafkaError) -> str:
    """It in a few words."""
    text = f"{error.name()}: {error.str()}"
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_REASON]


def refusedSettings(error: Exception, settings: Mapping[str, Any]) -> str:
    """Which settings confluent-kafka itself refuses, by their names: values may be secrets."""
    said = set(_NAME.findall(str(error)))
    names = ", ".join([name for name in settings if name in said] or settings)
    return f"confluent-kafka takes no text of a file for {names}"


def errorOf(error: KafkaException) -> KafkaError:
    """What librdkafka says."""
    found: KafkaError = error.args[0]
    return found
