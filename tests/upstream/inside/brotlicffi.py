"""httpbin, the server of requests' tests, asks for Brotli by way of cffi. This is the same library under its other name."""

from brotli import *  # noqa: F403
