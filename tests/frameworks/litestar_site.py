"""The application of litestar_app as litestar-granian serves it: `litestar run` is a plugin's command."""

from litestar import Litestar
from litestar_app import HANDLERS, lifespan
from litestar_granian import GranianPlugin

app = Litestar(HANDLERS, lifespan=[lifespan], plugins=[GranianPlugin()], openapi_config=None)
