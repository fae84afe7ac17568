"""One of the applications of the catalogue that install quickly: each day another."""

import datetime
import subprocess

import pytest
from applications import attempt, environment
from catalogue import APPLICATIONS

QUICK = [name for name, application in APPLICATIONS.items() if application.quick]
TODAY = QUICK[datetime.date.today().toordinal() % len(QUICK)]


@pytest.mark.timeout(300)
def test_application_of_the_day_is_served(tmp_path):
    try:
        programs = environment(TODAY, tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip(f'{TODAY} cannot be installed here')
    assert attempt(APPLICATIONS[TODAY], programs) == []
