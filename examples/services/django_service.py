"""A service on Django, in one file; in a project, `service` stands in a module of its own.

    pip install fauxtp django gunicorn
    gunicorn --threads 16 django_service:app

As with Flask, the processes live in a thread of each worker, from the first request that needs
them until after the last.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from visits import Application

from fauxtp import in_thread

service = in_thread(Application)


def visit(request: HttpRequest, page: str) -> HttpResponse:
    service.cast("visits", ("begins", page))
    time.sleep(float(str(request.GET.get("takes", "0"))))  # as a database would
    return JsonResponse({"visitor": service.call("visits", ("visit", page), wait=1.0)})


def begun(request: HttpRequest, page: str) -> HttpResponse:
    return HttpResponse(service.call("visits", ("begun", page)))


urlpatterns = [path("visit/<str:page>", visit), path("begun/<str:page>", begun)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="not needed here")
app = get_wsgi_application()
