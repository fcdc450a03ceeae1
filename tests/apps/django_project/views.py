"""The common application of these tests, written with Django."""

import hashlib
import json

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect


def index(request):
    return HttpResponse("hello from django")


def facts(request, rest):
    return JsonResponse(
        {
            "path": rest,
            "query": request.GET.getlist("q"),
            "url": request.build_absolute_uri(request.path),
            "secure": request.is_secure(),
            "peer": request.META["REMOTE_ADDR"],
            "agent": request.headers.get("User-Agent"),
        }
    )


def echo_json(request):
    return JsonResponse(json.loads(request.body))


def form(request):
    return JsonResponse(request.POST.dict())


def upload(request):
    file = request.FILES["file"]
    checksum = hashlib.sha256()
    for piece in file.chunks():
        checksum.update(piece)
    return JsonResponse(
        {"name": file.name, "sha256": checksum.hexdigest(), "note": request.POST["note"]}
    )


def raw(request):
    total = 0
    while piece := request.read(65536):
        total += len(piece)
    return JsonResponse({"size": total})


def login(request, name):
    request.session["name"] = name
    return HttpResponse("in")


def me(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"name": request.session.get("name"), "visits": request.session["visits"]})


def stream(request):
    count = int(request.GET["count"])
    lines = (f"line {n} of {count}\n" for n in range(count))
    return StreamingHttpResponse(lines, content_type="text/plain")


def file(request):
    return FileResponse(open(request.GET["path"], "rb"))  # noqa: SIM115


def cookies(request):
    response = HttpResponse("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


def redirects(request):
    return redirect("/")


def forbidden(request):
    raise PermissionDenied


def error(request):
    raise RuntimeError("raised in a view")


def count(request):
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists counts (id integer primary key)")
        cursor.execute("insert into counts default values")
        cursor.execute("select count(*) from counts")
        (total,) = cursor.fetchone()
    return JsonResponse({"total": total})


def empty(request):
    return HttpResponse(status=204)
