"""The language rules of CONTRIBUTING.md: package, tests and pages keep them, and a breach is found."""

from __future__ import annotations

from pathlib import Path

from language import DEFAULT, ROOT, places

FAULTY = '''def poll():
    """What is ready."""
    return 0  # nobody reads this


def close():
    """Close the socket."""
'''


def test_package_tests_and_pages_keep_the_rules() -> None:
    assert list(places([ROOT / path for path in DEFAULT])) == []


def test_docstring_and_word_are_found(tmp_path: Path) -> None:
    code, page = tmp_path / 'faulty.py', tmp_path / 'page.md'
    code.write_text(FAULTY, encoding='utf-8')
    (tmp_path / '.env').mkdir()  # an environment: not our code
    (tmp_path / '.env' / 'faulty.py').write_text(FAULTY, encoding='utf-8')
    page.write_text('Caches begin anew.\n\n```\nnobody\n```\n', encoding='utf-8')
    assert list(places([tmp_path])) == [
        f'{code}:2: poll: a docstring begins with an imperative verb, not "What"',
        f'{code}:3: "nobody": name the actor: no thread, no handler, no client',
        f'{page}:1: "anew": again',
    ]
