"""A Flask application with a bit of everything a server has to carry.

    granian --interface wsgi examples.flask_app:app

Then open http://127.0.0.1:8000/. Sign in as any name with the password `granian`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from flask import (
    Flask,
    Response,
    flash,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    url_for,
)  # fmt: skip
from werkzeug.wrappers import Response as BaseResponse

HERE = Path(__file__).parent

app = Flask(__name__)
app.secret_key = 'an example has no secrets; a real application reads its key from the environment'
app.config['MAX_CONTENT_LENGTH'] = 64 * 1024 * 1024

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Flask under granian</title>
<link rel="stylesheet" href="{{ url_for('static', filename='style.css') }}"></head>
<body>
<h1>Flask under granian</h1>
{% for message in messages %}<p class="message">{{ message }}</p>{% endfor %}
{% if user %}
<p>Hello, <b>{{ user }}</b>. This is visit {{ visits }}.</p>
<form method="post" action="{{ url_for('logout') }}"><button>Sign out</button></form>
{% else %}
<form method="post" action="{{ url_for('login') }}">
  <input name="name" placeholder="any name" required>
  <input name="password" type="password" placeholder="granian" required>
  <button>Sign in</button>
</form>
{% endif %}
<h2>Send a file</h2>
<form method="post" action="{{ url_for('files') }}" enctype="multipart/form-data">
  <input type="file" name="file" multiple required> <button>Upload</button>
</form>
<h2>Try</h2>
<ul>
  <li><a href="{{ url_for('headers') }}">the headers your browser sent</a></li>
  <li><a href="{{ url_for('query', fruit=['apple', 'pear'], tea='grün') }}">a query string</a></li>
  <li><a href="{{ url_for('greet', name='Zoë 👋') }}">a path that is not ASCII</a></li>
  <li><a href="{{ url_for('cookies') }}">cookies</a>, <a href="{{ url_for('go') }}">a redirect</a>,
      <a href="{{ url_for('etag') }}">a page with an ETag</a>,
      <a href="{{ url_for('empty') }}">no content</a>, <a href="{{ url_for('error') }}">an error</a></li>
  <li><a href="{{ url_for('stream') }}">a streamed download</a>,
      <a href="{{ url_for('download') }}">a file</a></li>
</ul>
</body></html>
"""


@app.get('/')
def index() -> str:
    visits = 0
    if user := session.get('user'):
        visits = session['visits'] = session.get('visits', 0) + 1
    return render_template_string(PAGE, user=user, visits=visits, messages=get_flashed_messages())


# Forms and sessions -------------------------------------------------------------------------


@app.post('/login')
def login() -> BaseResponse:
    if request.form.get('password') == 'granian':
        session['user'] = request.form['name']
        session['visits'] = 0
    else:
        flash('That is not the password.')
    return redirect(url_for('index'), 303)


@app.post('/logout')
def logout() -> BaseResponse:
    session.clear()
    flash('Good-bye.')
    return redirect(url_for('index'), 303)


@app.route('/cookies')
def cookies() -> Response:
    """Show the cookies that came, set two of our own."""
    response = jsonify(request.cookies)
    response.set_cookie('first', 'one', max_age=3600, httponly=True)
    response.set_cookie('second', 'two words, quoted', path='/cookies', samesite='Lax')
    return response


# What the request was -----------------------------------------------------------------------


@app.route('/headers', methods=['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
def headers() -> Response:
    """The request as the application saw it."""
    return jsonify(
        method=request.method,
        headers=dict(sorted(request.headers.items())),
        script_name=request.environ['SCRIPT_NAME'],
        path_info=request.environ['PATH_INFO'],
        query_string=request.environ['QUERY_STRING'],
        protocol=request.environ['SERVER_PROTOCOL'],
        content_length=request.content_length,
    )


@app.get('/query')
def query() -> Response:
    return jsonify({name: request.args.getlist(name) for name in sorted(request.args)})


@app.get('/hello/<path:name>')
def greet(name: str) -> Response:
    return Response(f'Hello, {name}!\n', mimetype='text/plain')


@app.get('/grüße')
def greetings() -> Response:
    return Response('Grüße!\n', mimetype='text/plain')


# Bodies in ----------------------------------------------------------------------------------


@app.route('/echo', methods=['POST', 'PUT', 'PATCH', 'DELETE'])
def echo() -> Response:
    return Response(request.get_data(), mimetype=request.mimetype or 'application/octet-stream')


@app.post('/digest')
def digest() -> Response:
    """Read the body piece by piece, however long it is."""
    sha, size = hashlib.sha256(), 0
    while piece := request.stream.read(64 * 1024):
        sha.update(piece)
        size += len(piece)
    return jsonify(size=size, sha256=sha.hexdigest())


@app.post('/files')
def files() -> Response:
    """A form with files: their names, sizes and digests, and the other fields."""
    received = []
    for field, storage in request.files.items(multi=True):
        content = storage.stream.read()
        sha = hashlib.sha256(content).hexdigest()
        received.append({'field': field, 'name': storage.filename, 'size': len(content), 'sha256': sha})
    return jsonify(files=received, fields=request.form.to_dict(flat=False))


@app.post('/unread')
def unread() -> Response:
    """Answer without a look at the body; the server has to cope with what is left of it."""
    return Response('Not interested.\n', mimetype='text/plain')


# Answers of every kind ----------------------------------------------------------------------


@app.get('/empty')
def empty() -> Response:
    response = Response(status=204)
    del response.headers['Content-Type']  # there is no content to have a type
    return response


@app.get('/redirect')
def go() -> BaseResponse:
    return redirect(url_for('query', came='from a redirect'))


@app.get('/etag')
def etag() -> Response:
    """304 for a client that has it: try `curl -H 'If-None-Match: "…"'`."""
    response = make_response('This page never changes.\n')
    response.mimetype = 'text/plain'
    response.add_etag()
    return response.make_conditional(request)


@app.get('/stream')
def stream() -> Response:
    """A thousand lines made as they are sent: no Content-Length, so chunked."""

    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f'{number:6} bottles of beer on the wall\n'

    attachment = {'Content-Disposition': 'attachment; filename=bottles.txt'}
    return Response(lines(), mimetype='text/plain', headers=attachment)


@app.get('/download')
def download() -> Response:
    """A file, through the server's `wsgi.file_wrapper`; answers ranges and 304 as well."""
    return send_file(HERE / 'static' / 'style.css', as_attachment=True, conditional=True)


@app.get('/error')
def error() -> Response:
    raise RuntimeError('this error is part of the example')
