"""What every unit test shares: hypothesis without deadlines, since no test asserts a wall-clock figure."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
