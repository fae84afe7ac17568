from tests.support.certificates import certificate  # noqa: F401 (fixture)
