"""What all tests share: hypothesis without deadlines, since the machine that runs them may be slow."""

from hypothesis import settings

settings.register_profile("pipeline", deadline=None, max_examples=60)
settings.load_profile("pipeline")
