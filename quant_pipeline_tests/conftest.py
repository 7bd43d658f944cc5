"""What all tests share: hypothesis without deadlines, since the machine that runs them may be slow or busy."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "pipeline", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("pipeline")
