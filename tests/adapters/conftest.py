from tests.support.static_site import folder, site  # noqa: F401 (fixtures)
