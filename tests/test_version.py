import granian


def test_version() -> None:
    assert granian.__version__ == '2.8.0'
