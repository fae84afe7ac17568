from tests.support.no_sockets import no_sockets  # noqa: F401 (fixture)
from tests.support.static_site import folder, site, unchanged_folder  # noqa: F401 (fixtures)
