"""A Flask view that answers with JSON, made of its path and query."""

from flask import Flask, request

app = Flask(__name__)


@app.get('/orders/<int:number>')
def order(number):
    lines = [{'position': n, 'name': f'Part {n}', 'amount': n * 3} for n in range(1, 11)]
    return {'order': number, 'currency': request.args.get('currency', 'EUR'), 'lines': lines}
