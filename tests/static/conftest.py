from tests.support.static_site import folder, site, unchanged_folder  # noqa: F401 (fixtures)
