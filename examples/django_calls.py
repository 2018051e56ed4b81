"""
A Django application beside a connection that lives in a thread of its own.

    IRIS_EVENT_MANAGER=https://... IRIS_ROUTING_ID=USER@DOMAIN IRIS_TOKEN=... \\
        python examples/django_calls.py 8000

    GET  /calls               those that ring now
    POST /calls/ROOM/reject   reject one

In a project of your own the connection is made in wsgi.py, which only a process that serves
requests imports, and not in an AppConfig, which every command of manage.py makes. With one process:
each has a connection of its own, and each would get every call.
"""

from __future__ import annotations

import atexit
import secrets
import sys
from collections.abc import Callable

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST
from iris_thread import IrisThread

from iris_twisted import IrisError

# settings.py
settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[f"{__name__}.failures"],
)


# views.py
@require_GET
def calls(request: HttpRequest) -> HttpResponse:
    return JsonResponse(iris.wait(iris.calls), safe=False)


@require_POST
def reject(request: HttpRequest, room: str) -> HttpResponse:
    if not iris.wait(iris.reject, room):
        return JsonResponse({"error": f"no call rings for {room}"}, status=404)
    return JsonResponse({"rejected": room})


def failures(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Middleware that tells an error of the connection as JSON."""

    def answering(request: HttpRequest) -> HttpResponse:
        return answer(request)

    def failed(request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, IrisError):
            return JsonResponse({"error": error.message, "code": error.code}, status=502)
        return None

    answering.process_exception = failed  # type: ignore[attr-defined]
    return answering


# urls.py
urlpatterns = [path("calls", calls), path("calls/<str:room>/reject", reject)]

# wsgi.py
application = get_wsgi_application()
iris = IrisThread.ofEnvironment()
atexit.register(iris.stop)

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", *sys.argv[1:]])
