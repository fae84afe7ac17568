"""Applications that many people deploy with gunicorn or uvicorn: their programs, clients, entries."""

from __future__ import annotations

from entry import Application

MOTO = """
from moto.server import DomainDispatcherApplication, create_backend_app
app = DomainDispatcherApplication(create_backend_app)
"""
MOTO_CLIENT = """
import os, sys
import boto3

place = f'http://127.0.0.1:{sys.argv[1]}'
keys = {'aws_access_key_id': 'x', 'aws_secret_access_key': 'x', 'region_name': 'us-east-1'}
s3, sqs = (boto3.client(name, endpoint_url=place, **keys) for name in ('s3', 'sqs'))
s3.create_bucket(Bucket='proof')
parts = [os.urandom(5 << 20), b'the end']
upload = s3.create_multipart_upload(Bucket='proof', Key='a')['UploadId']
tags = [
    {'PartNumber': number, 'ETag': s3.upload_part(
        Bucket='proof', Key='a', UploadId=upload, PartNumber=number, Body=part)['ETag']}
    for number, part in enumerate(parts, 1)
]
s3.complete_multipart_upload(Bucket='proof', Key='a', UploadId=upload, MultipartUpload={'Parts': tags})
assert s3.get_object(Bucket='proof', Key='a')['Body'].read() == b''.join(parts)
assert s3.get_object(Bucket='proof', Key='a', Range='bytes=1-3')['Body'].read() == parts[0][1:4]
queue = sqs.create_queue(QueueName='q')['QueueUrl']
sqs.send_message(QueueUrl=queue, MessageBody='hello')
assert sqs.receive_message(QueueUrl=queue)['Messages'][0]['Body'] == 'hello'
"""
FAVA = """
from fava.application import create_app
from pathlib import Path
app = create_app([str(Path('book.beancount').resolve())])
"""
BOOK = """
option "title" "proof"
option "operating_currency" "EUR"
2026-01-01 open Assets:Cash EUR
2026-01-01 open Expenses:Tea EUR
2026-01-02 * "tea"
  Expenses:Tea  2 EUR
  Assets:Cash
"""
MARIMO = """
import marimo
app = marimo.create_asgi_app().with_app(path='/', root='book.py').build()
"""
MARIMO_BOOK = """
import marimo
app = marimo.App()

@app.cell
def _():
    'made in ' + 'a cell'
    return
"""
MARIMO_CLIENT = """
import json, re, sys
import requests
from websockets.sync.client import connect

base = f'127.0.0.1:{sys.argv[1]}'
page = requests.get(f'http://{base}/')
for path in re.findall('(?:src|href)="[.](/assets/[^"]+)"', page.text):
    assert requests.get(f'http://{base}{path}').status_code == 200, path
with connect(f'ws://{base}/ws?session_id=s_proof1', additional_headers={'Cookie': '; '.join(
    f'{name}={value}' for name, value in page.cookies.items())}) as client:
    assert json.loads(client.recv(30))['op'] == 'kernel-ready'
"""
LITELLM = """
model_list:
  - model_name: proof
    litellm_params: {model: openai/gpt-4o, api_key: x, mock_response: 'an answer of several words'}
general_settings: {master_key: sk-proof}
"""
LITELLM_CLIENT = """
import sys, openai
client = openai.OpenAI(api_key='sk-proof', base_url=f'http://127.0.0.1:{sys.argv[1]}/v1')
ask = {'model': 'proof', 'messages': [{'role': 'user', 'content': 'x' * 200_000}]}
said = client.chat.completions.create(**ask).choices[0].message.content
assert said == 'an answer of several words', said
parts = [part.choices[0].delta.content or '' for part in client.chat.completions.create(stream=True, **ask)]
assert ''.join(parts) == said and len(parts) > 2, parts
"""
PREFECT_CLIENT = """
import json, os, re, sys, uuid
os.environ['PREFECT_API_URL'] = f'http://127.0.0.1:{sys.argv[1]}/api'
import requests
from websockets.sync.client import connect
from prefect import flow, task

@task
def double(number):
    return 2 * number

@flow(log_prints=True)
def work():
    print('at work')
    return sum(double(number) for number in range(5))

assert work() == 20
api = os.environ['PREFECT_API_URL']
runs = requests.post(f'{api}/flow_runs/filter', json={}).json()
assert [run['state_type'] for run in runs] == ['COMPLETED'], runs
page = requests.get(f'http://127.0.0.1:{sys.argv[1]}/')
for path in re.findall('(?:src|href)="(/assets/[^"]+)"', page.text):
    assert requests.get(f'http://127.0.0.1:{sys.argv[1]}{path}').status_code == 200, path
with connect(f'ws://127.0.0.1:{sys.argv[1]}/api/events/in') as client:
    client.send(json.dumps({'event': 'proof', 'resource': {'prefect.resource.id': 'proof'},
                            'id': str(uuid.uuid4()), 'occurred': '2026-11-27T00:00:00Z'}))
"""
STREAMLIT = """
import streamlit
app = streamlit.App('page.py')
"""
STREAMLIT_PAGE = """
import streamlit
streamlit.title('made by the page')
streamlit.file_uploader('a file')
"""
STREAMLIT_CLIENT = """
import re, sys
import requests
from websockets.sync.client import connect

base = f'127.0.0.1:{sys.argv[1]}'
page = requests.get(f'http://{base}/').text
for path in re.findall('(?:src|href)="[.](/static/[^"]+)"', page):
    assert requests.get(f'http://{base}{path}').status_code == 200, path
with connect(f'ws://{base}/_stcore/stream', subprotocols=['streamlit'], origin=f'http://{base}') as client:
    client.send(bytes.fromhex('5a00'))  # BackMsg: rerun_script, empty
    while b'made by the page' not in (message := client.recv(30)):
        pass
"""
CHAINLIT = """
from chainlit.utils import mount_chainlit
from fastapi import FastAPI
app = FastAPI()
mount_chainlit(app=app, target='talk.py', path='/chat')
"""
CHAINLIT_TALK = """
import chainlit

@chainlit.on_message
async def answer(message):
    reply = chainlit.Message('')
    for word in ('heard ', message.content):
        await reply.stream_token(word)
    await reply.send()
"""
CHAINLIT_CLIENT = """
import re, sys, threading, uuid
import requests, socketio

base = f'http://127.0.0.1:{sys.argv[1]}'
page = requests.get(base + '/chat/').text
for path in re.findall('(?:src|href)="(/chat/assets/[^"]+)"', page):
    assert requests.get(base + path).status_code == 200, path
heard, answered = [], threading.Event()
client = socketio.Client()

@client.on('*')
def event(name, *data):
    heard.append((name, data))
    if name in ('new_message', 'update_message') and 'heard a word' in str(data):
        answered.set()

session = str(uuid.uuid4())
client.connect(base, socketio_path='/chat/ws/socket.io', transports=['websocket'], auth={
    'clientType': 'webapp', 'sessionId': session, 'threadId': '', 'userEnv': '{}', 'chatProfile': ''})
client.emit('connection_successful')
client.emit('client_message', {'message': {
    'id': str(uuid.uuid4()), 'type': 'user_message', 'name': 'user', 'output': 'a word', 'threadId': '',
    'createdAt': '2026-11-27T00:00:00Z'}, 'fileReferences': []})
assert answered.wait(30), heard
answer = requests.post(base + '/chat/project/file', params={'session_id': session},
                       files={'file': ('a.bin', b'x' * 1_000_000, 'application/x-proof')})
assert answer.status_code == 200, answer.text
client.disconnect()
"""

DEPLOYED = {
    'httpbin': Application(
        ['httpbin>=0.10.2'], '--interface wsgi httpbin:app',
        [
            ('GET', '/get?a=1', '', {}, 200), ('POST', '/post', 'x' * 300_000, {}, 200),
            ('GET', '/status/418', '', {}, 418), ('GET', '/stream/20', '', {}, 200),
            ('GET', '/drip?numbytes=5&duration=1', '', {}, 200), ('GET', '/gzip', '', {}, 200),
            ('GET', '/range/1024', '', {'Range': 'bytes=1-5'}, 206), ('HEAD', '/bytes/100', '', {}, 200),
            ('GET', '/basic-auth/jane/x', '', {}, 401), ('GET', '/cookies/set?a=b', '', {}, 302),
            ('GET', '/etag/x', '', {'If-None-Match': '"x"'}, 304), ('DELETE', '/delete', '', {}, 200),
        ],
        quick=True,
    ),
    'moto': Application(
        ['moto[server]', 'boto3'], '--interface wsgi app:app', [('GET', '/moto-api/', '', {}, 200)],
        {'app.py': MOTO}, client=MOTO_CLIENT,
    ),
    'fava': Application(
        ['fava'], '--interface wsgi app:app',
        [
            ('GET', '/proof/income_statement/', '', {}, 200), ('GET', '/proof/api/ledger_data', '', {}, 200),
            ('GET', '/static/app.js', '', {}, 200), ('GET', '/proof/download-journal/', '', {}, 200),
            ('GET', '/absent/income_statement/', '', {}, 404),
            ('PUT', '/proof/api/format_source', '{"source": "2026-01-03 open Assets:Bank"}',
             {'Content-Type': 'application/json'}, 200),
        ],
        {'app.py': FAVA, 'book.beancount': BOOK}, quick=True,
    ),
    'marimo': Application(
        ['marimo', 'requests', 'websockets'], '--interface asgi --workers-kill-timeout 3 app:app',
        [('GET', '/', '', {}, 200)], {'app.py': MARIMO, 'book.py': MARIMO_BOOK}, client=MARIMO_CLIENT,
    ),
    'litellm': Application(
        ['litellm[proxy]'], '--interface asgi litellm.proxy.proxy_server:app',
        [
            ('GET', '/health/liveliness', '', {}, 200),
            ('GET', '/v1/models', '', {'Authorization': 'Bearer sk-proof'}, 200),
        ],
        {'config.yaml': LITELLM}, client=LITELLM_CLIENT,
        env={'CONFIG_FILE_PATH': '{folder}/config.yaml', 'LITELLM_LOCAL_MODEL_COST_MAP': 'True'},
    ),
    'prefect': Application(
        ['prefect', 'requests', 'websockets'],
        '--interface asgi --factory prefect.server.api.server:create_app',
        [('GET', '/api/health', '', {}, 200), ('GET', '/api/admin/version', '', {}, 200)],
        client=PREFECT_CLIENT, env={'PREFECT_HOME': '{folder}', 'DO_NOT_TRACK': '1'},
    ),
    'streamlit': Application(
        ['streamlit', 'requests', 'websockets'], '--interface asgi app:app',
        [('GET', '/', '', {}, 200), ('GET', '/_stcore/health', '', {}, 200)],
        {'app.py': STREAMLIT, 'page.py': STREAMLIT_PAGE}, client=STREAMLIT_CLIENT,
    ),
    'chainlit': Application(
        ['chainlit', 'requests', 'python-socketio[client]'], '--interface asgi app:app',
        [('GET', '/chat/', '', {}, 200)],
        {'app.py': CHAINLIT, 'talk.py': CHAINLIT_TALK}, client=CHAINLIT_CLIENT,
        env={'CHAINLIT_APP_ROOT': '{folder}'},
    ),
}  # fmt: skip
