"""
What blocks in confluent-kafka: making a producer, and asking brokers for a topic.

As L{kafka_producer}, it imports confluent-kafka, and only a sink that is used imports it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ..errors import IncorrectParameters
from .kafka_errors import NOBODY_ANSWERS, errorOf, reasonOf, refusedSettings

__all__ = ["askTopic", "makeProducer"]

# librdkafka's own log, which would go to stderr otherwise. It holds no message.
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
# Seconds that one question may take, at first and at most: nothing ends it before.
_FIRST, _LONGEST = 1.0, 5.0


def makeProducer(
    name: str, settings: Mapping[str, Any], noteError: Callable[[KafkaError], None]
) -> Any:
    """
    @param name: the sink's, for errors.
    @param settings: librdkafka's.
    @param noteError: is told what is wrong with the brokers, by who polls.
    @raise IncorrectParameters: when librdkafka does not like the settings.
    """
    try:
        return Producer({**settings, "error_cb": noteError, "logger": _log})
    except (KafkaException, AttributeError, TypeError, ValueError) as e:
        error = e.args[0] if e.args else None
        words = reasonOf(error) if isinstance(error, KafkaError) else refusedSettings(e, settings)
        raise IncorrectParameters(f"{name}: {words}", cause=e) from None


def askTopic(
    producer: Any, topic: str, seconds: float, goesOn: Callable[[], bool]
) -> KafkaError | None:
    """
    Ask until somebody answers.

    @param producer: of confluent-kafka. It is not kept: what fails here holds no traceback.
    @param seconds: that it may take.
    @param goesOn: is asked after each question whether anybody still wants to know.
    @return: what is wrong with the topic, or why nobody answered; C{None} when it is there.
    """
    until, each = time.monotonic() + seconds, _FIRST
    while True:
        left = max(0.0, until - time.monotonic())
        try:
            found: KafkaError | None = (
                producer.list_topics(topic, timeout=min(each, left)).topics[topic].error
            )
            return found
        except KafkaException as e:
            error = errorOf(e)
        if error.code() not in NOBODY_ANSWERS or time.monotonic() >= until or not goesOn():
            return error
        # A broker far away may need longer than the first one.
        each = min(2 * each, _LONGEST)
