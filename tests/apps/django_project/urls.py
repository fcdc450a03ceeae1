from django.conf import settings
from django.urls import path
from django.views.static import serve

from . import views

urlpatterns = [
    path("", views.index),
    path("facts/<path:rest>", views.facts),
    path("json", views.echo_json),
    path("form", views.form),
    path("upload", views.upload),
    path("raw", views.raw),
    path("login/<name>", views.login),
    path("me", views.me),
    path("stream", views.stream),
    path("file", views.file),
    path("static/<path:path>", serve, {"document_root": settings.STATIC_ROOT}),
    path("cookies", views.cookies),
    path("redirect", views.redirects),
    path("forbidden", views.forbidden),
    path("error", views.error),
    path("count", views.count),
    path("empty", views.empty),
]
