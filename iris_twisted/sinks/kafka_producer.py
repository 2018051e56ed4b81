"""
A producer of Kafka, by confluent-kafka (librdkafka), in a reactor.

Only this module, L{kafka_client} and L{kafka_errors} import confluent-kafka, and only a sink that
is used imports them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from confluent_kafka import KafkaError, KafkaException
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from ..errors import IncorrectParameters, NotTaken, SinkRefused
from .kafka_client import askTopic, makeProducer
from .kafka_errors import (
    NOBODY_ANSWERS,
    REFUSING,
    SAYS_NOTHING,
    errorOf,
    isMistake,
    reasonOf,
)

__all__ = ["KafkaProducer"]

# Seconds that one wait for events may take. A report ends it at once; an answer to a question does
# not.
_WAIT, _WAIT_ASKED = 1.0, 0.1
# Seconds between looks at what librdkafka tells while nothing is under way: it keeps all of it.
_IDLE = 30.0


@attrs.define(eq=False)
class _Message:
    """
    One on its way.

    @ivar done: fires with what became of it.
    @ivar alone: whether nothing else is under way with it, so that an answer is about it.
    """

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp: int
    done: Deferred[None] = attrs.field(factory=Deferred)
    alone: bool = False


class KafkaProducer:
    """
    One producer, and the thread that waits for what becomes of its messages: it sleeps in
    librdkafka while there are some under way, and on a lock while there are none.

    @param name: the sink's, for errors.
    @param settings: librdkafka's.
    @param after: the one whose messages come before its own: it waits until that is gone.
    @ivar gone: fires when nothing of it is left.
    @ivar broken: whether it can be used no more, and another has to be made.
    @raise IncorrectParameters: when librdkafka does not like the settings.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        settings: Mapping[str, Any],
        after: KafkaProducer | None = None,
    ) -> None:
        self.gone: Deferred[None] = Deferred()
        self.broken = False
        self._reactor = reactor
        self._name = name
        self._lastError: KafkaError | None = None
        self._producer: Any = makeProducer(name, settings, self._noteError)
        # Below this both threads come.
        self._changed = threading.Condition()
        self._underWay = 0
        self._asked = 0  # Of these.
        self._stopping = False
        self._reports: list[tuple[_Message, KafkaError | None]] = []
        # Below this only the reactor's thread comes.
        self._produced = 0
        # Refused, perhaps for the sake of others: each is sent again by itself.
        self._suspects: deque[_Message] = deque()
        # What came meanwhile.
        self._held: deque[_Message] = deque()
        self._isNext = after is not None
        self._finishing = False
        if after is not None:
            after.gone.addCallback(self._begin)
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
        message = _Message(topic, key, value, list(headers), timestamp)
        if self._suspects or self._held or self._isNext:
            self._held.append(message)
            self._continue()
        else:
            self._produce(message)
        return message.done

    def _produce(self, message: _Message) -> None:
        if message.done.called:
            return  # Nobody waits for it any more.
        with self._changed:
            self._underWay += 1
            self._changed.notify()
        self._produced += 1
        try:
            self._producer.produce(
                message.topic,
                message.value,
                message.key,
                headers=message.headers,
                timestamp=message.timestamp,
                on_delivery=partial(self._delivered, message),
            )
        except Exception as e:
            self._produced -= 1
            with self._changed:
                self._underWay -= 1
            if isinstance(e, BufferError):
                message.done.errback(NotTaken(f"{self._name}: its queue is full", cause=e))
            elif isinstance(e, KafkaException):
                message.done.errback(self._outcome(errorOf(e)))
            else:
                # Otherwise the thread would wait for a report that nobody makes.
                message.done.errback(e)

    def _continue(self) -> None:
        """Suspects one at a time, when nothing else is under way; then all that was held."""
        while self._suspects and not self._produced:
            message = self._suspects.popleft()
            message.alone = True
            self._produce(message)
        if not self._produced and not self._isNext:
            while self._held and not self._suspects:
                self._produce(self._held.popleft())
        if self._finishing and not (self._isNext or self._produced or self._suspects or self._held):
            self.close()

    def _begin(self, _: None) -> None:
        self._isNext = False
        self._continue()

    def _delivered(self, message: _Message, error: KafkaError | None, _: object) -> None:
        """In the thread, from within C{poll}."""
        self._reports.append((message, error))

    def _wait(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                if not self._underWay and not self._stopping:
                    self._changed.wait(_IDLE)
                if self._stopping and not self._underWay:
                    break
                wait = 0.0 if not self._underWay else _WAIT
                if self._asked == self._underWay:
                    wait = min(wait, _WAIT_ASKED)
            try:
                self._producer.poll(wait)
            except KafkaException as e:
                # What is fatal for a producer is raised here, and told nowhere else. It keeps
                # what is under way until that is too old: somebody else can give it sooner.
                self.broken, self._lastError = True, errorOf(e)
                self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            if self._reports:
                reports, self._reports = self._reports, []
                with self._changed:
                    self._underWay -= len(reports)
                self._reactor.callFromThread(self._told, reports)
        # Which ends librdkafka's own threads, and closes its sockets.
        self._producer = None
        self._reactor.callFromThread(self.gone.callback, None)

    def _told(self, reports: Sequence[tuple[_Message, KafkaError | None]]) -> None:
        self._produced -= len(reports)
        # Before anybody is told anything: who hears of it may give the next call.
        suspects = [m for m, error in reports if self._isSuspect(m, error)]
        self._suspects += suspects
        for message, error in reports:
            if message.done.called or message in suspects:
                continue  # Nobody waits for it any more, or it is tried again.
            if error is None:
                if not self.broken:
                    # What broke it counts for all that it ends, whatever was taken just before.
                    self._lastError = None
                message.done.callback(None)
            else:
                message.done.errback(self._outcome(error))
        self._continue()

    def _isSuspect(self, message: _Message, error: KafkaError | None) -> bool:
        if error is None or message.alone or self._stopping:
            return False
        return error.code() in REFUSING

    def _outcome(self, error: KafkaError) -> NotTaken:
        words = f"{self._name} did not take the call: {reasonOf(error)}"
        if error.code() in REFUSING:
            return SinkRefused(words)
        if error.fatal() or error.code() == KafkaError._FATAL:
            self.broken = True
        if self._lastError is not None and error.code() in SAYS_NOTHING:
            words += f"; {reasonOf(self._lastError)}"
        return NotTaken(words)

    def ask(self, topic: str, seconds: float) -> Deferred[None]:
        """
        Ask the brokers for a topic.

        @return: fires when it is there; fails with L{IncorrectParameters} when somebody has
            to change something, with L{NotTaken} when nobody answered in so many seconds.
        """
        # What is wrong with the brokers is told to the thread that polls: it must not sleep now.
        with self._changed:
            self._underWay += 1
            self._asked += 1
            self._changed.notify()
        asking: Deferred[KafkaError | None] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), self._ask, topic, seconds
        )
        return asking.addCallback(self._found)

    def _ask(self, topic: str, seconds: float) -> KafkaError | None:
        """In a thread of the reactor's: it is done when this says so, cancelled or not."""
        try:
            return askTopic(self._producer, topic, seconds, lambda: not self._stopping)
        finally:
            with self._changed:
                self._underWay -= 1
                self._asked -= 1
                self._changed.notify()

    def _found(self, error: KafkaError | None) -> None:
        if self._stopping:
            raise NotTaken(f"{self._name} is stopped")
        if error is None:
            return
        if error.code() in NOBODY_ANSWERS:
            # What is wrong with the brokers is told to who polls.
            error = self._lastError or error
        words = f"{self._name}: {reasonOf(error)}"
        if isMistake(error):
            raise IncorrectParameters(words)
        raise NotTaken(words)

    def finish(self) -> None:
        """Take no more, and end when nothing is under way; C{gone} tells when."""
        self._finishing = True
        self._continue()

    def close(self) -> None:
        """Give up what is under way, and end; C{gone} tells when."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            self._changed.notify()
            # Here, so that the thread has the last of it: what ends it takes its time.
            self._producer.purge(in_queue=True, in_flight=True, blocking=True)
        for waiting in (self._suspects, self._held):
            while waiting:
                message = waiting.popleft()
                if not message.done.called:
                    message.done.errback(NotTaken(f"{self._name} is stopped"))
