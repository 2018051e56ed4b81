"""
A producer of Kafka, by confluent-kafka (librdkafka), in a reactor.

Only this module imports confluent-kafka, and only a sink that is used imports this module.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from ..errors import IncorrectParameters, NotTaken, SinkRefused

__all__ = ["KafkaProducer"]

# Seconds that one wait for events may take. A report ends it at once.
_WAIT = 1.0
_LONGEST_REASON = 200
_NAME = re.compile(r"[\w.]+")

# What no other attempt cures: the call itself is wrong for this topic.
_REFUSING = (
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

# librdkafka's own log, which would go to stderr otherwise. It holds no message.
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


def _words(error: KafkaError) -> str:
    text = f"{error.name()}: {error.str()}"
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_REASON]


def _unfit(error: Exception, settings: Mapping[str, Any]) -> str:
    """Which settings confluent-kafka itself refuses, by their names: values may be secrets."""
    said = set(_NAME.findall(str(error)))
    names = ", ".join([name for name in settings if name in said] or settings)
    return f"confluent-kafka takes no text of a file for {names}"


def _first(error: KafkaException) -> KafkaError:
    found: KafkaError = error.args[0]
    return found


class KafkaProducer:
    """
    One producer, and the thread that waits for what becomes of its messages: it sleeps in
    librdkafka while there are some under way, and on a lock while there are none.

    @param name: the sink's, for errors.
    @param settings: librdkafka's.
    @ivar gone: fires when nothing of it is left.
    @ivar broken: whether it can be used no more, and another has to be made.
    @raise IncorrectParameters: when librdkafka does not like the settings.
    """

    def __init__(self, reactor: Any, name: str, settings: Mapping[str, Any]) -> None:
        self.gone: Deferred[None] = Deferred()
        self.broken = False
        self._reactor = reactor
        self._name = name
        self._lastError: KafkaError | None = None
        try:
            self._producer: Any = Producer(
                {**settings, "error_cb": self._noteError, "logger": _log}
            )
        except (KafkaException, TypeError, ValueError) as e:
            error = e.args[0] if e.args else None
            words = _words(error) if isinstance(error, KafkaError) else _unfit(e, settings)
            raise IncorrectParameters(f"{name}: {words}", cause=e) from None
        # Below this both threads come.
        self._changed = threading.Condition()
        self._underWay = 0
        self._stopping = False
        self._reports: list[tuple[Deferred[None], KafkaError | None]] = []
        self._thread = threading.Thread(target=self._wait, name="iris-kafka", daemon=True)
        self._thread.start()

    def _noteError(self, error: KafkaError) -> None:
        """In the thread: what is wrong with the brokers, which no message tells."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._lastError = error

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        timestamp: int,
    ) -> Deferred[None]:
        """
        @param timestamp: milliseconds.
        @return: fires when all replicas in sync have the message; fails with
            L{SinkRefused} or L{NotTaken}.
        """
        done: Deferred[None] = Deferred()
        with self._changed:
            self._underWay += 1
            self._changed.notify()
        try:
            self._producer.produce(
                topic,
                value,
                key,
                headers=list(headers),
                timestamp=timestamp,
                on_delivery=partial(self._delivered, done),
            )
        except Exception as e:
            with self._changed:
                self._underWay -= 1
            if isinstance(e, BufferError):
                done.errback(NotTaken(f"{self._name}: its queue is full", cause=e))
            elif isinstance(e, KafkaException):
                done.errback(self._outcome(_first(e)))
            else:
                # Otherwise the thread would wait for a report that nobody makes.
                done.errback(e)
        return done

    def _delivered(self, done: Deferred[None], error: KafkaError | None, _: object) -> None:
        """In the thread, from within C{poll}."""
        self._reports.append((done, error))

    def _wait(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                while not self._underWay and not self._stopping:
                    self._changed.wait()
                if not self._underWay:
                    break
            self._producer.poll(_WAIT)
            if self._reports:
                reports, self._reports = self._reports, []
                with self._changed:
                    self._underWay -= len(reports)
                self._reactor.callFromThread(self._told, reports)
        # Which ends librdkafka's own threads, and closes its sockets.
        self._producer = None
        self._reactor.callFromThread(self.gone.callback, None)

    def _told(self, reports: Sequence[tuple[Deferred[None], KafkaError | None]]) -> None:
        for done, error in reports:
            if done.called:
                continue  # Nobody waits for it any more.
            if error is None:
                self._lastError = None
                done.callback(None)
            else:
                done.errback(self._outcome(error))

    def _outcome(self, error: KafkaError) -> NotTaken:
        words = f"{self._name} did not take the call: {_words(error)}"
        if error.code() in _REFUSING:
            return SinkRefused(words)
        if error.fatal() or error.code() == KafkaError._FATAL:
            self.broken = True
        if self._lastError is not None and error.code() == KafkaError._MSG_TIMED_OUT:
            words += f"; {_words(self._lastError)}"
        return NotTaken(words)

    def ask(self, topic: str, seconds: float) -> Deferred[None]:
        """
        Ask the brokers for a topic.

        @return: fires when it is there; fails with L{IncorrectParameters} when somebody has
            to change something, with L{NotTaken} when nobody answered in so many seconds.
        """
        # Its method holds the producer, which the thread below may let go of meanwhile.
        asking: Deferred[Any] = deferToThreadPool(
            self._reactor,
            self._reactor.getThreadPool(),
            self._producer.list_topics,
            topic,
            timeout=seconds,
        )
        # What is wrong with the brokers is told to the thread that polls: it must not sleep now.
        with self._changed:
            self._underWay += 1
            self._changed.notify()

        def answered(result: Any) -> Any:
            with self._changed:
                self._underWay -= 1
                self._changed.notify()
            return result

        def understand(metadata: Any) -> None:
            self._found(metadata.topics[topic].error)

        def failed(failure: Any) -> None:
            failure.trap(KafkaException)
            self._found(self._lastError or _first(failure.value))

        return asking.addBoth(answered).addCallbacks(understand, failed)

    def _found(self, error: KafkaError | None) -> None:
        if error is None:
            return
        words = f"{self._name}: {_words(error)}"
        if error.code() in _MISTAKES:
            raise IncorrectParameters(words)
        raise NotTaken(words)

    def close(self) -> None:
        """Give up what is under way, and end; C{gone} tells when."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            producer = self._producer
            self._changed.notify()
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=True)
