"""The rooms of the house: no import circle, and no function or file that has grown too large."""

from __future__ import annotations

from rooms import circles, import_graph


def test_no_module_imports_itself_through_others() -> None:
    assert circles(import_graph()) == []


def test_circle_is_found() -> None:
    graph = {'a': {'b'}, 'b': {'c'}, 'c': {'a', 'd'}, 'd': set(), 'e': {'e2'}, 'e2': {'e'}}
    assert circles(graph) == [['a', 'b', 'c'], ['e', 'e2']]


def test_graph_counts_type_checking_imports() -> None:
    graph = import_graph()
    assert 'granian.stream' in graph['granian.wsgi.handler']
    assert 'granian.config' in graph['granian.worker.spec']
