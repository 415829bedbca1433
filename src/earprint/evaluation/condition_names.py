"""Families of conditions, apart from what makes them, so that the command line starts without numpy."""

from enum import StrEnum


class Kind(StrEnum):
    """Families of conditions, as the command line names them."""

    clean = "clean"
    noise = "noise"
    room = "room"
    room_noise = "room-noise"
    phone = "phone"
    speed = "speed"
