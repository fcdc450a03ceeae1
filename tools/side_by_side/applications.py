"""The applications: what to install, how to prepare it, and what to ask it for beyond the usual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from visit import Visitor

PASSWORD = "side-by-side-1"
ALL = ("sync", "gthread", "gevent")
THREADS = ("sync", "gthread")


def nothing_more(visitor: Visitor) -> None:
    """The usual requests are enough."""


@dataclass(frozen=True)
class Service:
    """A program that runs beside the application: a shell's command that becomes it; its port."""

    command: str
    port: int


@dataclass(frozen=True)
class Application:
    name: str
    install: tuple[str, ...]
    target: tuple[str, ...]  # the server's last arguments
    pages: tuple[str, ...]  # the first is asked for in many ways
    static: str = ""
    #: Files and commands that prepare it in an empty directory, which `$STATE` names; `$SITE` in
    #: the environ is where packages are.
    files: dict[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    directory: str = ""  # below $STATE, in which the server starts
    environ: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    workers: tuple[str, ...] = ALL
    services: tuple[Service, ...] = ()
    visit: Callable[[Visitor], None] = nothing_more
    #: Differences that are meant in this application: what they look like, and why.
    accepted: tuple[tuple[str, str], ...] = ()


# Small ones: files, mail addresses, packages


def use_webdav(visitor: Visitor) -> None:
    visitor.send("PUT", "/new.bin", bytes(range(256)) * 2000)
    visitor.send("PUT", "/chunked.bin", bytes(range(256)) * 2000, chunked=True)
    visitor.get("/new.bin", Range="bytes=100-299")
    visitor.get("/new.bin", Range="bytes=-10")
    visitor.get("/chunked.bin")
    visitor.send("MKCOL", "/folder")
    visitor.send("PROPFIND", "/", b"", Depth="1")
    visitor.send("COPY", "/new.bin", Destination=f"{visitor.address}/folder/copy.bin")
    visitor.send("MOVE", "/new.bin", Destination=f"{visitor.address}/moved.bin")
    visitor.send("LOCK", "/moved.bin", LOCK)
    visitor.send("DELETE", "/folder")


LOCK = b"""<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>"""

WSGIDAV = Application(
    name="wsgidav",
    install=("wsgidav",),
    target=("serve:app",),
    pages=("/", "/sub/"),
    static="/text.txt",
    files={
        "serve.py": """
from wsgidav.wsgidav_app import WsgiDAVApp

app = WsgiDAVApp({
    "provider_mapping": {"/": "$STATE/shared"},
    "simple_dc": {"user_mapping": {"*": True}},
    "logging": {"enable": False},
})
""",
        "shared/text.txt": "0123456789\n" * 1000,
        "shared/sub/other.txt": "other\n",
    },
    visit=use_webdav,
)


def use_calendar(visitor: Visitor) -> None:
    basic = {"Authorization": "Basic bWU6c2VjcmV0"}
    visitor.get("/me/")
    visitor.send("PROPFIND", "/me/", b"", Depth="0", **basic)
    visitor.send("MKCALENDAR", "/me/work/", b"", **basic)
    visitor.send("PUT", "/me/work/1.ics", EVENT, Content_Type="text/calendar", **basic)
    visitor.again(visitor.get("/me/work/1.ics", **basic))
    visitor.get("/me/work/", **basic)
    visitor.send("REPORT", "/me/work/", QUERY, Depth="1", **basic)
    visitor.send("PUT", "/me/work/1.ics", EVENT, If_None_Match="*", **basic)
    visitor.send("DELETE", "/me/work/1.ics", **basic)
    visitor.send("PUT", "/me/work/1.ics", EVENT, chunked=True, label="(chunked)", **basic)


EVENT = b"""BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r
DTSTAMP:20260101T000000Z\r\nDTSTART:20260102T000000Z\r\nSUMMARY:K\xc3\xb6ln\r\nEND:VEVENT\r
END:VCALENDAR\r\n"""
QUERY = b"""<?xml version="1.0"?><C:calendar-query xmlns:D="DAV:"
xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>"""

RADICALE = Application(
    name="radicale",
    install=("radicale",),
    target=("radicale:application",),
    pages=("/.web/", "/"),
    static="/.web/css/main.css",
    files={
        "config": """
[auth]
type = htpasswd
htpasswd_filename = $STATE/users
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = $STATE/collections
""",
        "users": "me:secret\n",
    },
    environ={"RADICALE_CONFIG": "$STATE/config"},
    visit=use_calendar,
    accepted=((r"log: .*Bad PUT request", "the chunked upload, which it has here"),),
)


def use_httpbin(visitor: Visitor) -> None:
    for path in ("/stream/20", "/stream-bytes/5000?seed=1", "/range/2000?duration=1", "/gzip",
                 "/deflate", "/cookies/set?a=b", "/redirect/2", "/status/204", "/status/304",
                 "/status/418", "/image/png", "/encoding/utf8", "/response-headers?x=1&x=2",
                 "/basic-auth/a/b", "/cache/60", "/etag/abc", "/drip?duration=1&numbytes=20",
                 "/anything/%2e%2e/%C3%A4;p?x=%00", "/absolute-redirect/1"):  # fmt: skip
        visitor.get(path)
    visitor.get("/range/2000", Range="bytes=10-19")
    visitor.get("/headers", X_One="1", X_Two="ä".encode().decode("latin-1"))
    visitor.send("POST", "/post", b"x" * 300_000, Content_Type="application/octet-stream")
    visitor.send(
        "POST", "/post", b"y" * 3000, chunked=True, label="(chunked)", Content_Type="text/plain"
    )
    visitor.fill("/forms/post", {"custname": "Jörg"}, to="/post")
    visitor.fill("/forms/post", {"a": "b"}, {"file": ("f.bin", b"\0\1" * 5000)}, to="/post")
    visitor.json("PATCH", "/patch", {"a": [1]})
    visitor.send("HEAD", "/stream/5")
    visitor.send("TRACE", "/get")


HTTPBIN = Application(
    name="httpbin",
    install=("httpbin>=0.10.2",),
    target=("httpbin:app",),
    pages=("/get", "/html", "/headers"),
    static="/flasgger_static/swagger-ui.css",
    workers=THREADS,  # it wants an older gevent than the worker does
    visit=use_httpbin,
)

PYPISERVER = Application(
    name="pypiserver",
    install=("pypiserver", "setuptools<81"),
    target=("serve:app",),
    pages=("/", "/simple/", "/packages/"),
    static="/packages/thing-1.0.tar.gz",
    files={
        "serve.py": """
import pypiserver
app = pypiserver.app(roots=["$STATE/packages"], password_file=".", authenticate=[])
""",
        "packages/thing-1.0.tar.gz": "not a tar file\n" * 2000,
    },
    visit=lambda v: v.fill(
        "/", {":action": "file_upload"}, {"content": ("other-2.0.tar.gz", b"\x1f\x8b" * 50_000)}
    ),
)

# Django


def log_in(path: str, fields: dict[str, str], then: tuple[str, ...]) -> Callable[[Visitor], None]:
    """A visit that logs in wrongly, then rightly, and looks at pages."""

    def visit(visitor: Visitor) -> None:
        wrong = {k: "wrong" if v == PASSWORD else v for k, v in fields.items()}
        visitor.fill(path, wrong)
        visitor.fill(path, fields)
        for page in then:
            visitor.get(page)

    return visit


def in_order(*visits: Callable[[Visitor], None]) -> Callable[[Visitor], None]:
    def visit(visitor: Visitor) -> None:
        for part in visits:
            part(visitor)

    return visit


ADMIN = {
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.org",
    "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
}
LOGIN = {"username": "admin", "password": PASSWORD}


def use_wagtail(visitor: Visitor) -> None:
    data = b"some text\n" * 20_000
    visitor.fill(
        "/admin/documents/add/", {"title": "a file", "collection": "1"}, {"file": ("a.txt", data)}
    )
    visitor.again(visitor.get("/documents/1/a.txt"))
    visitor.send("HEAD", "/documents/1/a.txt")
    visitor.get("/documents/1/a.txt", Range="bytes=0-9")
    visitor.fill("/admin/documents/edit/1/", {"title": "renamed", "collection": "1"}, {})


WAGTAIL = Application(
    name="wagtail",
    install=("wagtail",),
    target=("site1.wsgi",),
    pages=("/", "/search/?query=a", "/admin/login/", "/admin/"),
    prepare=(
        "wagtail start site1 .",
        "echo 'SECRET_KEY = \"s\" * 60; DEBUG = False' >> site1/settings/dev.py",
        "python manage.py migrate -v0",
        "python manage.py createsuperuser --noinput",
    ),
    environ=ADMIN,
    visit=in_order(
        log_in("/admin/login/", LOGIN, ("/admin/", "/admin/pages/", "/admin/images/add/")),
        use_wagtail,
    ),
)

MAILMAN = Application(
    name="mailman-web",
    install=("mailman-web", "whoosh", "setuptools<81"),
    target=("mailman_web.wsgi:application",),
    pages=("/accounts/login/", "/", "/hyperkitty/", "/postorius/lists/"),
    files={
        "settings.py": """
from mailman_web.settings.base import *
from mailman_web.settings.mailman import *
DEBUG = False
SECRET_KEY = 's' * 60
ALLOWED_HOSTS = ['*']
SITE_ID = 1
STATIC_ROOT = '$STATE/static'
COMPRESS_ENABLED = False
EMAIL_BACKEND = 'django.core.mail.backends.dummy.EmailBackend'
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '$STATE/db.sqlite'}}
LOGGING = {'version': 1, 'disable_existing_loggers': False}
HAYSTACK_CONNECTIONS = {'default': {'ENGINE': 'haystack.backends.simple_backend.SimpleEngine'}}
""",
    },
    prepare=("python -m django migrate -v0", "python -m django createsuperuser --noinput"),
    environ=ADMIN | {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "$STATE"},
    visit=log_in(
        "/accounts/login/",
        {"login": "admin", "password": PASSWORD},
        ("/user-profile/", "/accounts/email/", "/admin/", "/postorius/lists/new/"),
    ),
)

OSCAR = Application(
    name="django-oscar",
    install=("django-oscar", "sorl-thumbnail", "setuptools<81"),
    target=("shop.wsgi",),
    pages=("/catalogue/", "/", "/basket/", "/accounts/login/"),
    files={
        "settings.txt": """
from oscar.defaults import *
SECRET_KEY = 's' * 60
DEBUG = False
ALLOWED_HOSTS = ['*']
SITE_ID = 1
INSTALLED_APPS += [
    'django.contrib.sites', 'django.contrib.flatpages',
    'oscar.config.Shop', 'oscar.apps.analytics.apps.AnalyticsConfig',
    'oscar.apps.checkout.apps.CheckoutConfig', 'oscar.apps.address.apps.AddressConfig',
    'oscar.apps.shipping.apps.ShippingConfig', 'oscar.apps.catalogue.apps.CatalogueConfig',
    'oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig',
    'oscar.apps.communication.apps.CommunicationConfig',
    'oscar.apps.partner.apps.PartnerConfig', 'oscar.apps.basket.apps.BasketConfig',
    'oscar.apps.payment.apps.PaymentConfig', 'oscar.apps.offer.apps.OfferConfig',
    'oscar.apps.order.apps.OrderConfig', 'oscar.apps.customer.apps.CustomerConfig',
    'oscar.apps.search.apps.SearchConfig', 'oscar.apps.voucher.apps.VoucherConfig',
    'oscar.apps.wishlists.apps.WishlistsConfig', 'oscar.apps.dashboard.apps.DashboardConfig',
    'oscar.apps.dashboard.reports.apps.ReportsDashboardConfig',
    'oscar.apps.dashboard.users.apps.UsersDashboardConfig',
    'oscar.apps.dashboard.orders.apps.OrdersDashboardConfig',
    'oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig',
    'oscar.apps.dashboard.offers.apps.OffersDashboardConfig',
    'oscar.apps.dashboard.partners.apps.PartnersDashboardConfig',
    'oscar.apps.dashboard.pages.apps.PagesDashboardConfig',
    'oscar.apps.dashboard.ranges.apps.RangesDashboardConfig',
    'oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig',
    'oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig',
    'oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig',
    'oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig',
    'widget_tweaks', 'haystack', 'treebeard', 'sorl.thumbnail', 'django_tables2',
]
MIDDLEWARE += [
    'oscar.apps.basket.middleware.BasketMiddleware',
    'django.contrib.flatpages.middleware.FlatpageFallbackMiddleware',
]
AUTHENTICATION_BACKENDS = (
    'oscar.apps.customer.auth_backends.EmailBackend',
    'django.contrib.auth.backends.ModelBackend',
)
TEMPLATES[0]['OPTIONS']['context_processors'] += [
    'oscar.apps.search.context_processors.search_form',
    'oscar.apps.checkout.context_processors.checkout',
    'oscar.apps.communication.notifications.context_processors.notifications',
    'oscar.core.context_processors.metadata',
]
HAYSTACK_CONNECTIONS = {'default': {'ENGINE': 'haystack.backends.simple_backend.SimpleEngine'}}
""",
        "urls.txt": """
from django.apps import apps
from django.contrib import admin
from django.urls import include, path
urlpatterns = [
    path('i18n/', include('django.conf.urls.i18n')),
    path('admin/', admin.site.urls),
    path('', include(apps.get_app_config('oscar').urls[0])),
]
""",
    },
    prepare=(
        "django-admin startproject shop .",
        "cat settings.txt >> shop/settings.py",
        "cp urls.txt shop/urls.py",
        "python manage.py migrate -v0",
        "python manage.py createsuperuser --noinput",
    ),
    environ=ADMIN,
    visit=log_in(
        "/dashboard/login/", LOGIN, ("/dashboard/", "/dashboard/catalogue/", "/dashboard/users/")
    ),
)

# Flask, Pyramid, Werkzeug, CherryPy and no framework

TRAC = Application(
    name="trac",
    install=("trac", "setuptools<81"),
    target=("trac.web.main:dispatch_request",),
    pages=("/wiki", "/", "/timeline", "/newticket", "/login", "/wiki?format=txt"),
    static="/chrome/common/css/trac.css",
    prepare=(
        "trac-admin env initenv P sqlite:db/trac.db",
        "trac-admin env permission add anonymous TICKET_CREATE TICKET_APPEND TRAC_ADMIN",
    ),
    environ={"TRAC_ENV": "$STATE/env"},
    visit=lambda v: (
        v.fill("/newticket", {"field_summary": "Hällo", "submit": "1"}),
        v.get("/ticket/1"),
        v.fill("/attachment/ticket/1/?action=new", {}, {"attachment": ("a.txt", b"text" * 9000)}),
        v.get("/raw-attachment/ticket/1/a.txt"),
        v.get("/zip-attachment/ticket/1/"),
        v.get("/query?format=csv&col=id&col=summary"),
        v.get("/admin"),
    ),
)


def use_isso(visitor: Visitor) -> None:
    comment = {"text": "Ünser Kommentar", "author": "x", "email": None, "website": None}
    visitor.json("POST", "/new?uri=%2Fpage%2F", comment | {"title": "A page"})
    visitor.get("/?uri=%2Fpage%2F")
    visitor.get("/id/1")
    visitor.json("PUT", "/id/1", comment | {"text": "changed"})
    visitor.json("POST", "/count", ["/page/"])
    visitor.json("POST", "/id/1/like", {})
    visitor.fill("/login/", {"password": PASSWORD})
    visitor.get("/admin/")
    visitor.get("/feed?uri=%2Fpage%2F")


ISSO = Application(
    name="isso",
    install=("isso", "setuptools<81"),
    target=("isso.run:application",),
    pages=("/info", "/login/", "/?uri=%2F"),
    static="/js/embed.min.js",
    files={
        "isso.conf": f"""
[general]
dbpath = $STATE/comments.db
host = http://127.0.0.1/
[admin]
enabled = true
password = {PASSWORD}
[rss]
base = http://127.0.0.1/
""",
    },
    environ={"ISSO_SETTINGS": "$STATE/isso.conf"},
    visit=use_isso,
    accepted=(
        (r"/id/1.*: (access log|header content-length)", "a time with as many digits as it takes"),
    ),
)


def use_kinto(visitor: Visitor) -> None:
    basic = {"Authorization": "Basic bWU6c2VjcmV0"}
    visitor.json("PUT", "/v1/buckets/b", {}, **basic)
    visitor.json("PUT", "/v1/buckets/b/collections/c", {}, **basic)
    visitor.json("PUT", "/v1/buckets/b/collections/c/records/r", {"data": {"a": "ä"}}, **basic)
    answer = visitor.get("/v1/buckets/b/collections/c/records/r", **basic)
    visitor.get("/v1/buckets/b/collections/c/records?_limit=1", **basic)
    visitor.get(
        "/v1/buckets/b/collections/c/records/r", If_None_Match=answer.header("ETag") or "", **basic
    )
    visitor.json("PATCH", "/v1/buckets/b/collections/c/records/r", {"data": {"b": 2}}, **basic)
    visitor.json("POST", "/v1/batch", {"requests": [{"path": "/v1/"}, {"path": "/v1/x"}]}, **basic)
    visitor.send("DELETE", "/v1/buckets/b/collections/c/records/r", **basic)
    visitor.json("PUT", "/v1/buckets/b/collections/c/records/bad", "no object", **basic)


KINTO = Application(
    name="kinto",
    install=("kinto", "setuptools<81"),
    target=(),
    options=("--paste", "kinto.ini"),
    pages=("/v1/", "/", "/v1/__heartbeat__", "/v1/__version__", "/v1/buckets"),
    prepare=("kinto init --ini kinto.ini --backend memory --cache-backend memory",),
    visit=use_kinto,
)


FLASK_ADMIN = Application(
    name="flask-admin",
    install=("flask-admin", "flask-sqlalchemy", "flask-sock", "wtforms"),
    target=("site1:app",),
    pages=("/admin/", "/admin/note/", "/admin/files/", "/admin/note/export/csv/"),
    static="/admin/static/admin/css/bootstrap4/admin.css",
    files={
        "site1.py": """
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.fileadmin import FileAdmin
from flask_admin.contrib.sqla import ModelView
from flask_sock import Sock
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.secret_key = "s"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///$STATE/notes.db"
db = SQLAlchemy(app)
sock = Sock(app)


class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String(200))


class Notes(ModelView):
    can_export = True


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())


admin = Admin(app)
admin.add_view(Notes(Note, db.session))
admin.add_view(FileAdmin("$STATE/files", "/files/", name="files", endpoint="files"))
with app.app_context():
    db.create_all()
""",
        "files/a.txt": "text\n" * 1000,
    },
    visit=lambda v: (
        v.fill("/admin/note/new/", {"text": "Grüße"}),
        v.fill("/admin/note/edit/?id=1", {"text": "changed"}),
        v.get("/admin/note/export/csv/"),
        v.fill("/admin/files/upload/", {}, {"upload": ("b.bin", bytes(range(256)) * 3000)}),
        v.get("/admin/files/download/b.bin"),
        v.get("/admin/files/download/a.txt", Range="bytes=5-9"),
        v.websocket("/echo", b"hello"),
    ),
)


def use_devpi(visitor: Visitor) -> None:
    visitor.json("PUT", "/me", {"password": PASSWORD, "email": "me@example.org"})
    visitor.json("POST", "/+login", {"user": "me", "password": PASSWORD})
    visitor.json("POST", "/+login", {"user": "me", "password": "wrong"})
    visitor.get("/me", Accept="application/json")
    visitor.get("/+api", Accept="application/json")


DEVPI = Application(
    name="devpi",
    install=("devpi-server", "devpi-web"),
    target=("serve:app",),
    pages=("/+status", "/", "/+search?query=a", "/root", "/root/pypi", "/+api"),
    files={
        "serve.py": """
from devpi_server.config import get_pluginmanager, parseoptions
from devpi_server.main import XOM

config = parseoptions(get_pluginmanager(), ["devpi-server", "--serverdir", "$STATE/server"])
config.init_nodeinfo()
xom = XOM(config)
app = xom.create_app()
xom.thread_pool.start()
""",
    },
    prepare=("devpi-init --serverdir server --no-root-pypi",),
    workers=THREADS,
    visit=use_devpi,
)

ROUNDUP = Application(
    name="roundup",
    install=("roundup",),
    target=("serve:app",),
    pages=("/", "/issue?@template=item", "/issue?@template=search", "/rest/", "/rest/data/issue"),
    static="/@@file/style.css",
    files={
        "serve.py": """
from roundup.cgi.wsgi_handler import RequestDispatcher
app = RequestDispatcher("$STATE/tracker")
""",
    },
    prepare=(
        "roundup-admin -i tracker install classic sqlite",
        r"sed -Ei 's,^#?web *=.*,web = http://127.0.0.1/,;s,^#?domain *=.*,domain = example.org,;"
        r"s,^#?host *=.*,host = localhost,' tracker/config.ini",
        f"roundup-admin -i tracker initialise {PASSWORD}",
    ),
    visit=log_in(
        "/",
        {"__login_name": "admin", "__login_password": PASSWORD, "@action": "login"},
        ("/user1", "/user?@template=index", "/issue?@action=export_csv&@columns=id,title"),
    ),
    accepted=(
        (r"log: .* csrf HOST header", "a line with a random name, now and then no number in it"),
    ),
)


PGADMIN = Application(
    name="pgadmin",
    install=("pgadmin4",),
    target=("pgadmin4.pgAdmin4:app",),
    pages=("/login", "/", "/browser/", "/misc/ping"),
    static="/static/favicon.ico",
    files={
        "config_local.py": """
DATA_DIR = "$STATE/data"
LOG_FILE = "$STATE/pgadmin.log"
SQLITE_PATH = "$STATE/data/pgadmin.db"
SESSION_DB_PATH = "$STATE/data/sessions"
STORAGE_DIR = "$STATE/data/storage"
AZURE_CREDENTIAL_CACHE_DIR = "$STATE/data/azure"
KERBEROS_CCACHE_DIR = "$STATE/data/kerberos"
SERVER_MODE = True
UPGRADE_CHECK_ENABLED = False
MASTER_PASSWORD_REQUIRED = False
ENHANCED_COOKIE_PROTECTION = False
SECRET_KEY = "s" * 30
CSRF_SESSION_KEY = "s" * 30
SECURITY_PASSWORD_SALT = "s" * 30
""",
    },
    prepare=(
        "mkdir data",
        "python \"$(python -c 'import pgadmin4; print(pgadmin4.__path__[0])')/setup.py\" setup-db",
    ),
    environ={
        "PGADMIN_SETUP_EMAIL": "admin@example.org",
        "PGADMIN_SETUP_PASSWORD": PASSWORD,
        "PYTHONPATH": "$STATE",
    },
    visit=log_in(
        "/login",
        {"email": "admin@example.org", "password": PASSWORD, "internal_button": "Login"},
        ("/browser/", "/browser/js/utils.js", "/misc/bgprocess/", "/preferences/"),
    ),
)

# Large ones


def use_mlflow(visitor: Visitor) -> None:
    api = "/api/2.0/mlflow"
    visitor.json("POST", f"{api}/experiments/create", {"name": "äx"})
    visitor.json("POST", f"{api}/experiments/search", {"max_results": 10})
    visitor.get(f"{api}/experiments/get?experiment_id=0")
    visitor.json("POST", f"{api}/runs/search", {"experiment_ids": ["0"]})
    visitor.json("POST", f"{api}/runs/create", {"wrong": True})
    artifact = "/api/2.0/mlflow-artifacts/artifacts/a/b.bin"
    visitor.send("PUT", artifact, bytes(range(256)) * 4000)
    visitor.get(artifact)
    visitor.send("PUT", artifact + "2", bytes(range(256)) * 4000, chunked=True, label="(chunked)")
    visitor.send("DELETE", artifact)


MLFLOW = Application(
    name="mlflow",
    install=("mlflow",),
    target=("mlflow.server:app",),
    pages=("/health", "/", "/version", "/ajax-api/2.0/mlflow/experiments/search?max_results=5"),
    environ={
        "_MLFLOW_SERVER_FILE_STORE": "sqlite:///$STATE/mlflow.db",
        "_MLFLOW_SERVER_REGISTRY_STORE": "sqlite:///$STATE/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "$STATE/artifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
    },
    prepare=("mlflow db upgrade sqlite:///$STATE/mlflow.db",),
    workers=THREADS,
    visit=use_mlflow,
)


def use_ihatemoney(visitor: Visitor) -> None:
    project = {"name": "käse", "id": "kase", "password": PASSWORD, "contact_email": "a@example.org"}
    visitor.json("POST", "/api/projects", project | {"default_currency": "XXX"})
    visitor.json("POST", "/api/projects", {"wrong": True})
    visitor.get("/api/projects/kase")
    visitor.get("/kase/")


LABEL_STUDIO = Application(
    name="label-studio",
    install=("label-studio",),
    target=("core.wsgi:application",),
    pages=("/user/login/", "/", "/health", "/version", "/api/projects/", "/user/signup/"),
    prepare=(
        "label-studio init one --username admin@example.org "
        f"--password {PASSWORD} --user-token {'t' * 40}",
    ),
    environ={
        "LABEL_STUDIO_BASE_DATA_DIR": "$STATE",
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "PYTHONPATH": "$SITE/label_studio",
        "DJANGO_DB": "sqlite",
        "SECRET_KEY": "s" * 50,
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
    },
    workers=THREADS,
    visit=log_in(
        "/user/login/",
        {"email": "admin@example.org", "password": PASSWORD},
        ("/projects/", "/api/projects/", "/user/account/", "/api/current-user/whoami"),
    ),
    accepted=((r"log: .*WSGI app sent body bytes", "its log names the function that logs"),),
)

BUGSINK = Application(
    name="bugsink",
    install=("bugsink",),
    target=("bugsink.wsgi:application",),
    pages=("/accounts/login/", "/", "/health/ready", "/admin/login/", "/api/0/organizations/"),
    prepare=(
        "bugsink-create-conf --template=singleserver --host=127.0.0.1 --base-dir=$STATE",
        'echo \'SECRET_KEY = "s" * 50; ALLOWED_HOSTS = ["*"]\' >>bugsink_conf.py',
        "bugsink-manage migrate",
        "bugsink-manage migrate --database=snappea",
        f'echo "from users.models import User; '
        f"User.objects.create_superuser('admin', 'a@example.org', '{PASSWORD}')\" "
        "| bugsink-manage shell",
    ),
    environ={"DJANGO_SETTINGS_MODULE": "bugsink_conf", "PYTHONPATH": "$STATE"},
    workers=THREADS,
    visit=log_in("/accounts/login/", LOGIN, ("/", "/users/", "/installation/settings/")),
)

IHATEMONEY = Application(
    name="ihatemoney",
    install=("ihatemoney",),
    target=("ihatemoney.wsgi:application",),
    pages=("/", "/create", "/dashboard", "/demo/", "/api/projects"),
    files={
        "settings.py": """
SQLALCHEMY_DATABASE_URI = "sqlite:///$STATE/money.sqlite"
SQLALCHEMY_TRACK_MODIFICATIONS = False
SECRET_KEY = "s" * 40
MAIL_DEFAULT_SENDER = "a@example.org"
ACTIVATE_ADMIN_DASHBOARD = False
ADMIN_PASSWORD = ""
ALLOW_PUBLIC_PROJECT_CREATION = True
ACTIVATE_DEMO_PROJECT = True
SESSION_COOKIE_SECURE = False
ENABLE_CAPTCHA = False
""",
    },
    environ={"IHATEMONEY_SETTINGS_FILE_PATH": "$STATE/settings.py"},
    visit=use_ihatemoney,
)

SUPYSONIC = Application(
    name="supysonic",
    install=("supysonic",),
    target=("supysonic.web:create_application()",),
    pages=("/user/login", "/", "/rest/ping.view?f=json", "/folder/"),
    files={"home/.supysonic": "[base]\ndatabase_uri = sqlite:///$STATE/music.db\n"},
    prepare=(f"HOME=$STATE/home supysonic-cli user add admin -p {PASSWORD}",),
    environ={"HOME": "$STATE/home"},
    visit=log_in("/user/login", {"user": "admin", "password": PASSWORD}, ("/", "/user", "/folder")),
)

#: As root it runs as its own user, who owns its files then.
POSTGRES = Service(
    """
    bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
    mkdir -p postgres
    if [ $(id -u) = 0 ]; then
        chown -R postgres postgres
        chmod o+x .
        as="setpriv --reuid=postgres --regid=postgres --clear-groups"
    fi
    [ -e postgres/PG_VERSION ] || $as $bin/initdb -D postgres -U side -A trust
    exec $as $bin/postgres -D postgres -p 55432 -k '' -c listen_addresses=127.0.0.1
    """,
    port=55432,
)

REDIS = Service("exec redis-server --bind 127.0.0.1 --port 56379 --save ''", port=56379)

CKAN = Application(
    name="ckan",
    install=("ckan[requirements]", "setuptools<81"),
    target=("serve:app",),
    pages=("/about", "/user/login", "/api/3/action/status_show", "/api/3", "/dataset/new"),
    static="/base/images/ckan-logo.png",
    files={
        "serve.py": """
from ckan.cli import CKANConfigLoader
from ckan.config.middleware import make_app

app = make_app(CKANConfigLoader("$STATE/ckan.ini").get_config())
""",
    },
    prepare=(
        "psql -h 127.0.0.1 -p 55432 -U side -c 'create database ckan' postgres",
        "ckan generate config ckan.ini",
        "ckan config-tool ckan.ini ckan.site_url=http://127.0.0.1 ckan.storage_path=$STATE/files "
        "sqlalchemy.url=postgresql://side@127.0.0.1:55432/ckan solr_url=http://127.0.0.1:1/solr "
        "ckan.redis.url=redis://127.0.0.1:56379/0",
        "ckan -c ckan.ini db init",
        f"ckan -c ckan.ini user add admin email=admin@example.org password={PASSWORD}",
        "echo y | ckan -c ckan.ini sysadmin add admin",
    ),
    services=(POSTGRES, REDIS),
    workers=THREADS,
    visit=log_in(
        "/user/login",
        {"login": "admin", "password": PASSWORD},
        ("/dashboard/", "/user/admin", "/ckan-admin/", "/api/3/action/user_show?id=admin"),
    ),
)

SUPERSET = Application(
    name="superset",
    install=("apache-superset", "rich", "cachetools", "flask-caching<2.4"),
    target=("superset.app:create_app()",),
    pages=("/login/", "/", "/health", "/superset/welcome/", "/api/v1/chart/"),
    files={
        "superset_config.py": """
SECRET_KEY = "s" * 50
SQLALCHEMY_DATABASE_URI = "sqlite:///$STATE/superset.db"
TALISMAN_ENABLED = False
""",
    },
    prepare=(
        "superset db upgrade",
        "superset fab create-admin --username admin --firstname a --lastname b "
        f"--email admin@example.org --password {PASSWORD}",
        "superset init",
    ),
    environ={"PYTHONPATH": "$STATE", "FLASK_APP": "superset.app:create_app()"},
    workers=THREADS,
    visit=log_in(
        "/login/",
        LOGIN,
        ("/superset/welcome/", "/dashboard/list/", "/api/v1/me/", "/api/v1/dashboard/"),
    ),
)

APPLICATIONS = (
    (WSGIDAV, RADICALE, HTTPBIN, PYPISERVER)
    + (WAGTAIL, MAILMAN, OSCAR, LABEL_STUDIO)
    + (TRAC, ISSO, KINTO, FLASK_ADMIN, DEVPI, ROUNDUP)
    + (BUGSINK, IHATEMONEY, SUPYSONIC)
    + (PGADMIN, MLFLOW, CKAN, SUPERSET)
)
