"""Imported in an instance whose memory others begin with."""

import _pywasm_gateway

_pywasm_gateway.load_ahead()
