"""A view as a small picture, 64 x 64 with Crafter's textures, for clients that want an image.

Lives here: view -> PNG. Not here: the view's layout (`views.py`). The browser draws its own, larger
pictures from the same views. Night is a plain shade here: stock's noise would be another each time.
"""

from __future__ import annotations

import base64
import functools
import io

from PIL import Image

from engine.tasks.crafter.rules import ITEMS, PACKAGE, VIEW, VIEW_HEIGHT, VIEW_WIDTH
from engine.tasks.crafter.views import MATERIALS, THINGS

PIXELS = 64
_TILE = PIXELS // VIEW
_ITEMS_AT = 66  # in a view, see views.py
_DAYLIGHT_AT = 65


def draw_png(view: bytes) -> str:
    """The picture of a view as base64 of a PNG; 1 ms."""
    picture = Image.new("RGB", (PIXELS, PIXELS))
    for at in range(VIEW_WIDTH * VIEW_HEIGHT):
        tile, place = view[1 + at], (at % VIEW_WIDTH * _TILE, at // VIEW_WIDTH * _TILE)
        for name in (MATERIALS[tile & 15], THINGS[tile >> 4]):
            if name:
                texture = _texture(name)
                picture.paste(texture, place, texture)
    if view[_DAYLIGHT_AT] < 255:
        land = (0, 0, PIXELS, VIEW_HEIGHT * _TILE)
        light = 0.5 + view[_DAYLIGHT_AT] / 510
        picture.paste(picture.crop(land).point(lambda value: int(value * light)), land)
    _draw_items(picture, view)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def _draw_items(picture: Image.Image, view: bytes) -> None:
    """The inventory in the two rows below the map, each item with its amount over it."""
    held = [(name, view[_ITEMS_AT + i]) for i, name in enumerate(ITEMS) if view[_ITEMS_AT + i]]
    for slot, (name, amount) in enumerate(held[: 2 * VIEW]):
        place = (slot % VIEW * _TILE, (VIEW_HEIGHT + slot // VIEW) * _TILE)
        for texture in (_texture(name), _texture(str(min(amount, 9)))):
            picture.paste(texture, place, texture)


@functools.cache
def _texture(name: str) -> Image.Image:
    with Image.open(PACKAGE / "assets" / f"{name}.png") as picture:
        return picture.convert("RGBA").resize((_TILE, _TILE), Image.Resampling.NEAREST)
