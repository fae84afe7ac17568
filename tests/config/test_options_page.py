import importlib.util
from pathlib import Path

from granian.config import OPTIONS

SCRIPT = Path(__file__).parents[2] / 'docs' / 'make_options.py'


def test_the_page_is_made_from_the_options_as_they_are() -> None:
    spec = importlib.util.spec_from_file_location('make_options', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding='utf-8') == module.page(), 'run python docs/make_options.py'
    for option in OPTIONS.values():
        assert f'`{option.env or option.field}`' in module.page()
