"""The examples behind wsgiref's validator, which checks both sides of PEP 3333."""

from wsgiref.validate import validator

from examples.django_project import application
from examples.flask_app import app

flask = validator(app)
django = validator(application)
