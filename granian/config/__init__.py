"""The options: what an option is, the one list of them, and the rules between them.

`declaration` is the list, `options` what a row of it means, `rules` what one value asks of
another. This room knows no server, worker or core; only cli, gunicorn front, server and worker
import it.
"""

from .declaration import OPTIONS, Config, api_arguments, signature

__all__ = ['OPTIONS', 'Config', 'api_arguments', 'signature']
