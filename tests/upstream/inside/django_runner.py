"""Django's runner with our result."""

from django.test.runner import DiscoverRunner

from outcomes import Result


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return Result
