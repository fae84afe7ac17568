"""A WebSocket in a Flask application, by flask-sock: each open one holds a thread.

pip install flask flask-sock
granian --interface wsgi examples.flask_sock_echo:app
"""

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)

PAGE = """<!doctype html>
<title>Echo</title>
<input id="text" autofocus placeholder="say something">
<ul id="answers"></ul>
<script>
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
  const socket = new WebSocket(`${scheme}://${location.host}/echo`)
  const input = document.getElementById('text')
  socket.onmessage = event => {
    const item = document.createElement('li')
    item.textContent = event.data
    document.getElementById('answers').append(item)
  }
  input.onchange = () => { socket.send(input.value); input.value = '' }
</script>
"""


@app.get('/')
def page():
    return PAGE


@sock.route('/echo')
def echo(ws):
    while True:
        ws.send(f'echo: {ws.receive()}')
