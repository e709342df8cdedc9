"""Django's own settings for its tests on sqlite, with outcomes written down."""

from test_sqlite import *  # noqa: F403  (beside runtests.py)

TEST_RUNNER = "django_runner.Runner"
