"""Applications that were not written for this server: how each is installed, started and used.

`applications.py` runs them. A catalogue entry is data; it knows nothing of this server but its command line.
"""

from __future__ import annotations

from deployed import DEPLOYED
from entry import Application, Step
from further_sources import (
    AIRFLOW_CLIENT,
    BLACKSHEEP,
    BUGSINK,
    BUGSINK_CLIENT,
    BUGSINK_SEED,
    CHERRYPY,
    DEVPI,
    DEVPI_CLIENT,
    FALCON,
    IHATEMONEY,
    ISSO,
    ISSO_CLIENT,
    KINTO,
    KINTO_APP,
    PYPISERVER,
    PYPISERVER_CLIENT,
    PYRAMID,
    STARLETTE_ADMIN,
    TRAC,
    WEBLATE,
    WEBLATE_CLIENT,
    WS_CLIENT,
    ZOPE,
    ZOPE_CLIENT,
)
from operated import OPERATED
from sources import (
    CHANNELS,
    CHANNELS_CLIENT,
    DASH,
    DASH_CLIENT,
    DATASETTE,
    DRF,
    EVENT,
    FLASK_ADMIN,
    FLASK_ADMIN_CLIENT,
    GRADIO,
    GRADIO_CLIENT,
    LABEL_STUDIO,
    LABEL_STUDIO_CLIENT,
    LITESTAR,
    LITESTAR_CLIENT,
    MLFLOW_CLIENT,
    NICEGUI,
    NICEGUI_CLIENT,
    RADICALE,
    SOCKETIO,
    SOCKETIO_CLIENT,
    STRAWBERRY,
    STRAWBERRY_CLIENT,
    TRACED,
    WAGTAIL_CLIENT,
    WSGIDAV,
)

JSON = {'Content-Type': 'application/json'}
FORM = {'Content-Type': 'application/x-www-form-urlencoded'}
QUICK: list[Step] = [('GET', '/quick/token', '', {}, 200), ('POST', '/echo/x', 'body', {}, 200)]
OURS = '--interface wsgi proof_apps:wsgi'
JANE = {'Authorization': 'Basic amFuZTp4'}
SHARED = {'Authorization': 'Basic cHJvb2Y6c2VjcmV0MTIz'}
MONEY = 'name=proof&id=proof&password=secret123&contact_email=a@example.org&default_currency=XXX'
BILL = 'date=2026-11-27&what=tea&payer=1&payed_for=1&amount=20&bill_type=Expense'
SERVED = '{bin}/python {here}/services.py serve {bin}/python -m granian'
APPLICATIONS = {
    'wsgidav': Application(
        ['wsgidav'], '--interface wsgi app:app',
        [
            ('OPTIONS', '/', '', {}, 200),
            ('MKCOL', '/folder', '', {}, 201),
            ('PUT', '/folder/a.txt', 'hello', {}, 201),
            ('PROPFIND', '/folder', '', {'Depth': '1'}, 207),
            ('COPY', '/folder/a.txt', '', {'Destination': '/folder/b.txt'}, 201),
            ('MOVE', '/folder/b.txt', '', {'Destination': '/folder/c.txt'}, 201),
            ('GET', '/folder/c.txt', '', {'Range': 'bytes=1-2'}, 206),
            ('HEAD', '/folder/c.txt', '', {}, 200),
            ('DELETE', '/folder', '', {}, 204),
        ],
        {'app.py': WSGIDAV, 'files/empty': ''}, quick=True,
    ),
    'radicale': Application(
        ['radicale'], '--interface wsgi radicale:application',
        [
            ('GET', '/.web/', '', {}, 200),
            ('MKCALENDAR', '/jane/work/', '', JANE, 201),
            ('PUT', '/jane/work/1.ics', EVENT, {**JANE, 'Content-Type': 'text/calendar'}, 201),
            ('PROPFIND', '/jane/work/', '', {**JANE, 'Depth': '1'}, 207),
            ('GET', '/jane/work/1.ics', '', JANE, 200),
        ],
        {'config': RADICALE}, env={'RADICALE_CONFIG': '{folder}/config'}, quick=True,
    ),
    'datasette': Application(
        ['datasette'], '--interface asgi app:app',
        [('GET', '/-/versions.json', '', {}, 200), ('GET', '/_memory.json?sql=select+1', '', {}, 200)],
        {'app.py': DATASETTE}, quick=True,
    ),
    'djangorestframework': Application(
        ['djangorestframework'], '--interface wsgi app:app',
        [
            ('POST', '/orders', '{"name": "a", "amount": 2}', JSON, 201),
            ('POST', '/orders', '{"name": "a", "amount": 0}', JSON, 400),
            ('GET', '/orders', '', {}, 405),
        ],
        {'app.py': DRF}, quick=True,
    ),
    'channels': Application(
        ['channels', 'websockets'], '--interface asgi app:app', [('GET', '/', '', {}, 200)],
        {'app.py': CHANNELS}, client=CHANNELS_CLIENT, quick=True,
    ),
    'flask-socketio': Application(
        ['flask-socketio', 'python-socketio[client]', 'simple-websocket'], '--interface wsgi app:app',
        [('GET', '/', '', {}, 200)], {'app.py': SOCKETIO}, client=SOCKETIO_CLIENT, quick=True,
    ),
    'strawberry': Application(
        ['strawberry-graphql', 'starlette', 'websockets'], '--interface asgi app:app',
        [('POST', '/', '{"query": "{ hello }"}', JSON, 200), ('POST', '/', '{', JSON, 400)],
        {'app.py': STRAWBERRY}, client=STRAWBERRY_CLIENT, quick=True,
    ),
    'nicegui': Application(
        ['nicegui', 'requests', 'websocket-client'], '--interface asgi app:app', [('GET', '/', '', {}, 200)],
        {'app.py': NICEGUI}, client=NICEGUI_CLIENT,
    ),
    'wagtail': Application(
        ['wagtail', 'requests'], '--interface wsgi site_of_proof.wsgi:application',
        [('GET', '/', '', {}, 200), ('GET', '/admin/', '', {}, 302), ('GET', '/search/', '', {}, 200)],
        prepare=[
            '{bin}/wagtail start site_of_proof .',
            '{bin}/python manage.py migrate -v 0',
            '{bin}/python manage.py createsuperuser --noinput --username admin --email a@example.org',
        ],
        env={'DJANGO_SUPERUSER_PASSWORD': 'secret'}, client=WAGTAIL_CLIENT,
    ),
    'gradio': Application(
        ['gradio'], '--interface asgi app:app', [('GET', '/', '', {}, 200)], {'app.py': GRADIO},
        client=GRADIO_CLIENT,
    ),
    'dash': Application(
        ['dash', 'requests'], '--interface wsgi app:app', [('GET', '/', '', {}, 200)], {'app.py': DASH},
        client=DASH_CLIENT, quick=True,
    ),
    'flask-admin': Application(
        ['flask-admin', 'flask-sqlalchemy', 'requests'], '--interface wsgi app:app',
        [('GET', '/admin/', '', {}, 200)], {'app.py': FLASK_ADMIN}, client=FLASK_ADMIN_CLIENT, quick=True,
    ),
    'litestar': Application(
        ['litestar', 'requests', 'websockets'], '--interface asgi app:app', [('GET', '/', '', {}, 404)],
        {'app.py': LITESTAR}, client=LITESTAR_CLIENT, quick=True,
    ),
    'label-studio': Application(
        ['label-studio', 'requests'], '--interface wsgi studio:application',
        [('GET', '/user/login/', '', {}, 200)],
        files={'studio.py': LABEL_STUDIO}, prepare=['{bin}/python studio.py migrate --run-syncdb -v 0'],
        env={
            'LABEL_STUDIO_BASE_DATA_DIR': '{folder}', 'DJANGO_DB': 'sqlite', 'COLLECT_ANALYTICS': 'false',
            'SENTRY_DSN': '', 'FRONTEND_SENTRY_DSN': '', 'LATEST_VERSION_CHECK': 'false',
        },
        client=LABEL_STUDIO_CLIENT,
    ),
    'mlflow': Application(
        ['mlflow'], '--interface wsgi mlflow.server:app', [('GET', '/health', '', {}, 200)],
        env={
            '_MLFLOW_SERVER_FILE_STORE': 'sqlite:///{folder}/mlflow.db',
            '_MLFLOW_SERVER_SERVE_ARTIFACTS': 'true',
            '_MLFLOW_SERVER_ARTIFACT_ROOT': 'mlflow-artifacts:/',
            '_MLFLOW_SERVER_ARTIFACT_DESTINATION': '{folder}/artifacts',
        },
        client=MLFLOW_CLIENT,
    ),
    'cherrypy': Application(
        ['cherrypy'], '--interface wsgi app:app',
        [
            ('GET', '/?name=jane', '', {}, 200), ('POST', '/', 'name=joe', FORM, 200),
            ('GET', '/stream', '', {}, 200), ('GET', '/absent', '', {}, 404), ('HEAD', '/', '', {}, 200),
        ],
        {'app.py': CHERRYPY},
    ),
    'kinto': Application(
        ['kinto'], '--interface wsgi app:app',
        [
            ('GET', '/v1/__heartbeat__', '', {}, 200),
            ('PUT', '/v1/buckets/b', '', JANE, 201),
            ('PUT', '/v1/buckets/b/collections/c', '', JANE, 201),
            ('POST', '/v1/buckets/b/collections/c/records', '{"data": {"a": 1}}', {**JANE, **JSON}, 201),
            ('GET', '/v1/buckets/b/collections/c/records', '', JANE, 200),
            ('PATCH', '/v1/buckets/b', '{"data": {"x": 2}}', {**JANE, **JSON}, 200),
            ('DELETE', '/v1/buckets/b', '', JANE, 200),
        ],
        {'app.py': KINTO_APP, 'kinto.ini': KINTO}, quick=True,
    ),
    'pypiserver': Application(
        ['pypiserver', 'passlib'], '--interface wsgi app:app', [('GET', '/', '', {}, 200)],
        {'app.py': PYPISERVER, 'packages/empty': ''}, client=PYPISERVER_CLIENT, quick=True,
    ),
    'pyramid': Application(
        ['pyramid', 'pyramid-debugtoolbar'], '--interface wsgi app:app',
        [
            ('GET', '/', '', {}, 200), ('GET', '/file', '', {}, 200), ('GET', '/absent', '', {}, 404),
            ('GET', '/_debug_toolbar/static/toolbar/toolbar.css', '', {}, 200),
        ],
        {'app.py': PYRAMID}, quick=True,
    ),
    'isso': Application(
        ['isso'], '--interface wsgi isso.run:application', files={'isso.cfg': ISSO}, client=ISSO_CLIENT,
        env={'ISSO_SETTINGS': '{folder}/isso.cfg'}, quick=True,
    ),
    'trac': Application(
        ['Trac', 'setuptools<81'], '--interface wsgi app:app',
        [
            ('GET', '/wiki', '', {}, 200), ('GET', '/timeline', '', {}, 200), ('GET', '/report', '', {}, 200),
            ('GET', '/chrome/common/css/trac.css', '', {}, 200), ('GET', '/ticket/1', '', {}, 404),
        ],
        {'app.py': TRAC}, prepare=['{bin}/trac-admin project initenv proof sqlite:db/trac.db'],
    ),
    'zope': Application(
        ['Zope'], '--interface wsgi --factory zopeapp:app',
        [('GET', '/', '', {}, 200), ('GET', '/manage', '', {}, 401)],
        {'zopeapp.py': ZOPE}, prepare=['{bin}/mkwsgiinstance -u admin:secret -d .'], client=ZOPE_CLIENT,
    ),
    'blacksheep': Application(
        ['blacksheep', 'websockets'], '--interface asgi app:app',
        [
            ('GET', '/', '', {}, 200), ('POST', '/json', '{"number": 2}', JSON, 200),
            ('GET', '/stream', '', {}, 200), ('POST', '/json', '{', JSON, 400),
        ],
        {'app.py': BLACKSHEEP}, client=f'PATH = "/ws"{WS_CLIENT}', quick=True,
    ),
    'falcon': Application(
        ['falcon', 'websockets'], '--interface asgi app:app',
        [
            ('GET', '/things', '', {}, 200), ('POST', '/things', 'x' * 300_000, {}, 200),
            ('PUT', '/things', '', {}, 405),
        ],
        {'app.py': FALCON}, client=f'PATH = "/things"{WS_CLIENT}', quick=True,
    ),
    'starlette-admin': Application(
        ['starlette-admin', 'sqlalchemy', 'python-multipart', 'jinja2'], '--interface asgi app:app',
        [
            ('GET', '/admin/', '', {}, 200), ('GET', '/admin/post/list', '', {}, 200),
            ('GET', '/admin/post/create', '', {}, 200), ('GET', '/admin/absent/list', '', {}, 404),
            ('GET', '/admin/static/css/vendor/tabler.min.css', '', {}, 200),
        ],
        {'app.py': STARLETTE_ADMIN},
    ),
    'weblate': Application(
        # newer ones need a newer GLib than Debian 12's, and a newer Weblate
        ['weblate[postgres]', 'PyGObject<3.51', 'django-otp<1.7'],
        '--interface wsgi --static-path-route /static --static-path-mount {folder}/data/cache/static '
        'weblate.wsgi:application',
        [('GET', '/healthz/', '', {}, 200), ('GET', '/exports/rss/', '', {}, 200)],
        {'wlsettings.py': WEBLATE},
        [
            '{bin}/python {here}/services.py start weblate', '{bin}/weblate migrate --noinput -v 0',
            '{bin}/weblate collectstatic --noinput -v 0',
            '{bin}/weblate createadmin --username admin --password secret-secret9X',
        ],
        SERVED, WEBLATE_CLIENT, {'SERVICES_FOLDER': '{folder}', 'DJANGO_SETTINGS_MODULE': 'wlsettings'},
    ),
    'ihatemoney': Application(
        ['ihatemoney'], '--interface wsgi ihatemoney.wsgi:application',
        [
            ('GET', '/', '', {}, 200),
            ('POST', '/api/projects', MONEY, FORM, 201),
            ('POST', '/api/projects/proof/members', 'name=jane', {**FORM, **SHARED}, 201),
            ('POST', '/api/projects/proof/bills', BILL, {**FORM, **SHARED}, 201),
            ('GET', '/api/projects/proof/bills', '', SHARED, 200),
            ('GET', '/api/projects/proof/bills', '', JANE, 401), ('GET', '/static/css/main.css', '', {}, 200),
        ],
        {'money.cfg': IHATEMONEY}, env={'IHATEMONEY_SETTINGS_FILE_PATH': '{folder}/money.cfg'}, quick=True,
    ),
    'devpi-server': Application(
        ['devpi-server', 'requests'], '--interface wsgi app:app', [('GET', '/+api', '', {}, 200)],
        {'app.py': DEVPI}, ['{bin}/devpi-init --no-root-pypi --root-passwd secret'], client=DEVPI_CLIENT,
        env={'DEVPISERVER_SERVERDIR': '{folder}/data', 'DEVPISERVER_OFFLINE_MODE': 'true'}, quick=True,
    ),
    'bugsink': Application(
        ['bugsink', 'requests'], '--interface wsgi --workers 2 bugsink.wsgi:application',
        [('GET', '/accounts/login/', '', {}, 200)],
        {'bugsink_conf.py': BUGSINK, 'seed.py': BUGSINK_SEED},
        [
            '{bin}/bugsink-manage migrate -v 0',
            '{bin}/bugsink-manage migrate snappea --database=snappea -v 0',
            '{bin}/python seed.py',
        ],
        client=BUGSINK_CLIENT, env={'DJANGO_SETTINGS_MODULE': 'bugsink_conf'}, quick=True,
    ),
    'airflow': Application(
        ['apache-airflow'], '--interface asgi --workers 2 airflow.api_fastapi.main:app',
        [
            ('GET', '/', '', {}, 200), ('GET', '/api/v2/version', '', {}, 200),
            ('GET', '/api/v2/monitor/health', '', {}, 200), ('GET', '/openapi.json', '', {}, 200),
            ('GET', '/api/v2/dags', '', {}, 200), ('GET', '/api/v2/absent', '', {}, 404),
        ],
        prepare=['{bin}/python -m airflow db migrate'],
        env={
            'AIRFLOW_HOME': '{folder}', 'AIRFLOW__CORE__LOAD_EXAMPLES': 'False',
            'AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS': 'True',
            'AIRFLOW__API_AUTH__JWT_SECRET': 'x' * 64, 'AIRFLOW__USAGE_DATA_COLLECTION__ENABLED': 'False',
        },
        client=AIRFLOW_CLIENT,
    ),
    'coverage run': Application(
        ['coverage'], OURS, QUICK, wrapper='{bin}/coverage run -m granian', quick=True,
    ),
    'opentelemetry-instrument': Application(
        ['opentelemetry-distro', 'opentelemetry-instrumentation-wsgi'], OURS, QUICK,
        wrapper='{bin}/opentelemetry-instrument --traces_exporter none --metrics_exporter none '
        '--logs_exporter none {bin}/python -m granian',
    ),
    'debugpy': Application(
        ['debugpy'], OURS, QUICK, wrapper='{bin}/python -m debugpy --listen 127.0.0.1:0 -m granian',
    ),
    'ddtrace-run': Application(
        ['ddtrace', 'flask'], '--interface wsgi --workers 2 traced:app',
        [('GET', f'/{number}', '', {}, 200) for number in range(20)],
        {'traced.py': TRACED},
        wrapper='{bin}/python {here}/span_agent.py 20 flask.request '
        '{bin}/ddtrace-run {bin}/python -m granian',
    ),
    'newrelic-admin': Application(
        ['newrelic'], OURS, QUICK, wrapper='{bin}/newrelic-admin run-program {bin}/python -m granian',
        env={'NEW_RELIC_DEVELOPER_MODE': 'true', 'NEW_RELIC_LICENSE_KEY': 'x' * 40},
    ),
    **DEPLOYED,
    **OPERATED,
}  # fmt: skip
