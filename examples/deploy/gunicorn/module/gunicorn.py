"""Run granian where a program runs `python -m gunicorn`: put this folder into PYTHONPATH."""

from granian.gunicorn import main

if __name__ == '__main__':
    main()
