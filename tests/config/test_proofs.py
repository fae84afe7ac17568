"""Every option has a test that proves it, and says so by a mark."""

import importlib.util
from pathlib import Path

from granian.config import OPTIONS

DOCS = Path(__file__).parents[2] / 'docs'
_spec = importlib.util.spec_from_file_location('make_proofs', DOCS / 'make_proofs.py')
assert _spec is not None
assert _spec.loader is not None
make_proofs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_proofs)


def test_every_option_has_a_proof_and_every_proof_an_option() -> None:
    proven = {option for option, _, _ in make_proofs.marks()}
    options = {make_proofs.name(option) for option in OPTIONS.values()}
    assert options - proven == set(), 'without a test that proves them'
    assert proven - options == set(), 'marks that name no option'


def test_every_mark_is_found() -> None:
    """Count the marks by text: a mark in a class, or spelled otherwise, would be overlooked."""
    tests = Path(__file__).parents[1]
    texts = [path.read_text(encoding='utf-8') for path in tests.rglob('test_*.py')]
    spelled = sum(text.count('\n@pytest.mark.proves(') for text in texts)
    assert len({(path, test) for _, path, test in make_proofs.marks()}) == spelled


def test_the_page_is_made_from_the_marks_as_they_are() -> None:
    made = make_proofs.page()
    assert make_proofs.PAGE.read_text(encoding='utf-8') == made, 'run python docs/make_proofs.py'
