"""Applications that operators run in production, on a database: their settings, clients, entries."""

from __future__ import annotations

from entry import Application

TRYTON = '[database]\nuri = sqlite:///\npath = .\n'
TRYTON_CLIENT = """
import base64, json, sys, urllib.request

place = f'http://127.0.0.1:{sys.argv[1]}/proof/rpc/'

def call(method, *arguments, **fields):
    body = json.dumps({'id': 1, 'method': method, 'params': arguments}).encode()
    fields['Content-Type'] = 'application/json'
    return json.load(urllib.request.urlopen(urllib.request.Request(place, body, fields)))['result']

user, key, _ = call('common.db.login', 'admin', {'password': 'secret-9X-secret'}, 'en')
session = base64.b64encode(f'admin:{user}:{key}'.encode()).decode()

def model(method, *arguments):
    return call(f'model.{method}', *arguments, {}, Authorization=f'Session {session}')

groups = model('res.group.create', [{'name': f'group {number}'} for number in range(20)])
assert model('res.group.read', groups[:1], ['name'])[0]['name'] == 'group 0'
assert model('res.group.search_count', [['name', 'like', 'group %']]) == 20
model('res.group.delete', groups)
"""
MCP = """
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer('proof')

@server.tool()
async def count(to: int, ctx: Context) -> str:
    for number in range(to):
        await ctx.report_progress(number, to)
    return f'counted {to}'

app = server.streamable_http_app()
"""
MCP_CLIENT = """
import asyncio, sys
from mcp.client import Client

seen = []

async def note(progress, total, message):
    seen.append(progress)

async def main():
    async with Client(f'http://127.0.0.1:{sys.argv[1]}/mcp') as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ['count']
        for to in (3, 200):
            del seen[:]
            result = await client.call_tool('count', {'to': to}, progress_callback=note)
            assert result.content[0].text == f'counted {to}', result
            assert seen == [float(number) for number in range(to)], seen

asyncio.run(asyncio.wait_for(main(), 120))
"""
OPERATED = {
    'trytond': Application(
        ['trytond'], '--interface wsgi trytond.application:app',
        [('POST', '/rpc/', '{"id": 1, "method": "common.server.version", "params": []}',
          {'Content-Type': 'application/json'}, 200), ('GET', '/proof/rpc/', '', {}, 405)],
        {'trytond.conf': TRYTON, 'password': 'secret-9X-secret', 'proof.sqlite': ''},
        ['{bin}/trytond-admin -c trytond.conf -d proof --all --email a@example.org'], client=TRYTON_CLIENT,
        env={
            'TRYTOND_CONFIG': '{folder}/trytond.conf', 'TRYTONPASSFILE': '{folder}/password',
            'TRYTOND_DATABASE_NAMES': 'proof',
        },
        quick=True,
    ),
    'mcp': Application(
        ['mcp'], '--interface asgi app:app',
        [('GET', '/absent', '', {}, 404), ('GET', '/mcp', '', {}, 406)], {'app.py': MCP}, client=MCP_CLIENT,
        quick=True,
    ),
}  # fmt: skip
