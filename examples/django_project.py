"""A whole Django project in one file: admin, sign-in, sessions, forms, files, static files.

    granian --interface wsgi examples.django_project:application

Then open http://127.0.0.1:8000/ and http://127.0.0.1:8000/admin/ (user `admin`, password
`granian`). The database and the uploads are kept in `.django_project/` beside this file, or
in the folder that DJANGO_PROJECT_DATA names; they are made at the first start.
Management commands work too: `python examples/django_project.py check`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import django
from django.conf import settings

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get('DJANGO_PROJECT_DATA') or HERE / '.django_project')

if not settings.configured:
    settings.configure(
        SECRET_KEY='an example has no secrets; a real project reads its key from the environment',
        DEBUG=False,
        ALLOWED_HOSTS=['127.0.0.1', 'localhost', '[::1]', 'testserver'],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            'django.contrib.admin',
            'django.contrib.auth',
            'django.contrib.contenttypes',
            'django.contrib.sessions',
            'django.contrib.messages',
            'whitenoise.runserver_nostatic',
            'django.contrib.staticfiles',
        ],
        MIDDLEWARE=[
            'django.middleware.security.SecurityMiddleware',
            'whitenoise.middleware.WhiteNoiseMiddleware',
            'django.contrib.sessions.middleware.SessionMiddleware',
            'django.middleware.common.CommonMiddleware',
            'django.middleware.csrf.CsrfViewMiddleware',
            'django.contrib.auth.middleware.AuthenticationMiddleware',
            'django.contrib.messages.middleware.MessageMiddleware',
            'django.middleware.http.ConditionalGetMiddleware',
        ],
        TEMPLATES=[
            {
                'BACKEND': 'django.template.backends.django.DjangoTemplates',
                'APP_DIRS': True,
                'OPTIONS': {
                    'context_processors': [
                        'django.template.context_processors.request',
                        'django.contrib.auth.context_processors.auth',
                        'django.contrib.messages.context_processors.messages',
                    ]
                },
            }
        ],
        DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': DATA / 'db.sqlite3'}},
        DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
        LOGIN_REDIRECT_URL='/',
        LOGOUT_REDIRECT_URL='/',
        STATIC_URL='/static/',
        STATICFILES_DIRS=[HERE / 'static'],
        # WhiteNoise serves straight from the apps' own folders: no collectstatic to forget.
        WHITENOISE_USE_FINDERS=True,
        USE_TZ=True,
    )
    django.setup()

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import UploadedFile
from django.core.management import call_command, execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)  # fmt: skip
from django.shortcuts import redirect
from django.template import engines
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import etag, require_POST

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Django under granian</title>
<link rel="stylesheet" href="/static/style.css"></head>
<body>
<h1>Django under granian</h1>
{% for message in messages %}<p class="message">{{ message }}</p>{% endfor %}
{% if user.is_authenticated %}
<p>Hello, <b>{{ user }}</b>. This is visit {{ visits }}. <a href="/admin/">To the admin</a>.</p>
<form method="post" action="/logout/">{% csrf_token %}<button>Sign out</button></form>
<h2>Send a file</h2>
<form method="post" action="/upload/" enctype="multipart/form-data">
{% csrf_token %}{{ upload.as_p }}<button>Upload</button></form>
<ul>{% for name in uploads %}<li><a href="/uploads/{{ name|urlencode }}">{{ name }}</a></li>{% endfor %}</ul>
{% elif login %}
<form method="post">{% csrf_token %}{{ login.as_p }}<button>Sign in</button></form>
{% else %}
<p><a href="/login/">Sign in</a> as <code>admin</code> with the password <code>granian</code>.</p>
{% endif %}
<h2>Try</h2>
<ul>
  <li><a href="/headers/">the headers your browser sent</a></li>
  <li><a href="/query/?fruit=apple&amp;fruit=pear&amp;tea=gr%C3%BCn">a query string</a></li>
  <li><a href="/hello/{{ 'Zoë 👋'|urlencode }}/">a path that is not ASCII</a></li>
  <li><a href="/cookies/">cookies</a>, <a href="/redirect/">a redirect</a>,
      <a href="/etag/">a page with an ETag</a>, <a href="/empty/">no content</a>,
      <a href="/error/">an error</a></li>
  <li><a href="/stream/">a streamed download</a>, <a href="/download/">a file</a></li>
</ul>
</body></html>
"""

storage = FileSystemStorage(DATA / 'uploads')


class UploadForm(forms.Form):
    title = forms.CharField(max_length=80)
    file = forms.FileField()


def page(request: HttpRequest, status: int = 200, **context: object) -> HttpResponse:
    template = engines['django'].from_string(PAGE)
    return HttpResponse(template.render(context, request), status=status)


def index(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return page(request)
    visits = request.session['visits'] = request.session.get('visits', 0) + 1
    uploads = storage.listdir('')[1] if storage.exists('') else []
    return page(request, visits=visits, uploads=sorted(uploads), upload=UploadForm())


class Login(auth_views.LoginView):
    """Django's own sign-in view, on the one page we have."""

    def render_to_response(self, context: dict[str, object], **_: object) -> HttpResponse:
        return page(self.request, login=context['form'])


# Bodies in ----------------------------------------------------------------------------------


def measure(file: UploadedFile) -> dict[str, object]:
    sha = hashlib.sha256()
    for piece in file.chunks():
        sha.update(piece)
    return {'name': file.name, 'size': file.size, 'sha256': sha.hexdigest()}


@login_required(login_url='/login/')
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """The form of the front page: validated, kept, and listed there."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return page(request, status=400, upload=form)
    name = storage.save(form.cleaned_data['file'].name, form.cleaned_data['file'])
    messages.success(request, f'{form.cleaned_data["title"]}: kept as {name}.')
    return redirect('/')


@login_required(login_url='/login/')
def uploaded(request: HttpRequest, name: str) -> FileResponse:
    if not storage.exists(name):
        raise Http404
    return FileResponse(storage.open(name), as_attachment=True, filename=name)


@csrf_exempt
@require_POST
def files(request: HttpRequest) -> JsonResponse:
    """For programs: what came in a form, without keeping any of it."""
    received = [
        {'field': field, **measure(file)}
        for field in sorted(request.FILES)
        for file in request.FILES.getlist(field)
    ]
    return JsonResponse({'files': received, 'fields': dict(request.POST.lists())})


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type or 'application/octet-stream')


@csrf_exempt
def digest(request: HttpRequest) -> JsonResponse:
    """Read the body piece by piece, however long it is."""
    sha, size = hashlib.sha256(), 0
    while piece := request.read(64 * 1024):
        sha.update(piece)
        size += len(piece)
    return JsonResponse({'size': size, 'sha256': sha.hexdigest()})


@csrf_exempt
def unread(request: HttpRequest) -> HttpResponse:
    """Answer without a look at the body; the server has to cope with what is left of it."""
    return HttpResponse('Not interested.\n', content_type='text/plain')


# What the request was -----------------------------------------------------------------------


@csrf_exempt
def headers(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            'method': request.method,
            'headers': dict(sorted(request.headers.items())),
            'script_name': request.META['SCRIPT_NAME'],
            'path_info': request.META['PATH_INFO'],
            'query_string': request.META['QUERY_STRING'],
            'protocol': request.META['SERVER_PROTOCOL'],
        }
    )


def query(request: HttpRequest) -> JsonResponse:
    return JsonResponse(dict(sorted(request.GET.lists())))


def greet(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f'Hello, {name}!\n', content_type='text/plain; charset=utf-8')


def cookies(request: HttpRequest) -> JsonResponse:
    """Show the cookies that came, set two of our own."""
    response = JsonResponse(request.COOKIES)
    response.set_cookie('first', 'one', max_age=3600, httponly=True)
    response.set_cookie('second', 'two words, quoted', path='/cookies/', samesite='Lax')
    return response


# Answers of every kind ----------------------------------------------------------------------


def empty(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(status=204)
    del response.headers['Content-Type']  # there is no content to have a type
    return response


def go(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect('/query/?came=from+a+redirect')


@etag(lambda request: '"never changes"')
def constant(request: HttpRequest) -> HttpResponse:
    return HttpResponse('This page never changes.\n', content_type='text/plain')


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """A thousand lines made as they are sent: no Content-Length, so chunked."""

    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f'{number:6} bottles of beer on the wall\n'

    attachment = {'Content-Disposition': 'attachment; filename=bottles.txt'}
    return StreamingHttpResponse(lines(), content_type='text/plain', headers=attachment)


def download(request: HttpRequest) -> FileResponse:
    """A file, through the server's `wsgi.file_wrapper`."""
    return FileResponse((HERE / 'static' / 'style.css').open('rb'), as_attachment=True)


def error(request: HttpRequest) -> HttpResponse:
    raise RuntimeError('this error is part of the example')


urlpatterns = [
    path('', index),
    path('admin/', admin.site.urls),
    path('login/', Login.as_view()),
    path('logout/', auth_views.LogoutView.as_view()),
    path('upload/', upload),
    path('uploads/<str:name>', uploaded),
    path('files/', files),
    path('echo/', echo),
    path('digest/', digest),
    path('unread/', unread),
    path('headers/', headers),
    path('query/', query),
    path('hello/<path:name>/', greet),
    path('grüße/', lambda request: HttpResponse('Grüße!\n', content_type='text/plain; charset=utf-8')),
    path('cookies/', cookies),
    path('empty/', empty),
    path('redirect/', go),
    path('etag/', constant),
    path('stream/', stream),
    path('download/', download),
    path('error/', error),
]


def prepare() -> None:
    """Make the database and its first user, once, even when several workers start at once."""
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call_command('migrate', verbosity=0, interactive=False)
        users = get_user_model().objects
        if not users.exists():
            users.create_superuser('admin', 'admin@example.org', 'granian')


if __name__ == '__main__':
    execute_from_command_line(sys.argv)
else:
    prepare()
    application = get_wsgi_application()
