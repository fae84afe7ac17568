"""Property tests are not judged by time: a busy machine is slow to draw examples."""

from hypothesis import HealthCheck, settings

settings.register_profile('any-machine', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('any-machine')
