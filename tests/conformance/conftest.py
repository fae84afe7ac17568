import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which('openssl') is None:
        pytest.skip('the openssl command is not there')
    folder = tmp_path_factory.mktemp('certificate')
    command = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
    names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    files = ['-keyout', str(folder / 'key.pem'), '-out', str(folder / 'cert.pem')]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return folder
