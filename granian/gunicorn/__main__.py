"""`python -m granian.gunicorn`."""

from . import main

if __name__ == '__main__':
    main()
