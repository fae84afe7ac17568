"""Profiles of the property tests: few examples by default, many with `--hypothesis-profile=many`.

None has a deadline: a busy machine is slow to draw examples.
"""

from hypothesis import HealthCheck, settings

for _name, _count in (('few', 5), ('many', 150)):
    settings.register_profile(
        _name, max_examples=_count, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile('few')
