"""Layouts that never were: buildings put together anew, from a place's footprints or from its measurements."""
