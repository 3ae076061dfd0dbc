"""Training as a moving picture: the optimizers side by side, from the same noise. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from textwrap import wrap

import matplotlib as mpl
import pandas as pd
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from benchmarks.reporting.grids import Moment, Tile, Tiles, Truths, Window, over_training, pointed

LEAST, MOST = 4, 24  # frames
LIMIT = 300_000  # bytes of a file
SIDE, GAP, LINE = 146, 10, 14  # pixels of a picture, at least half of that; between two; of a line of text
ACROSS = 6  # pictures in a row
SHOWN, LAST = 600, 3000  # milliseconds of a frame, and of the last
COLOURS = (64, 24)  # of a frame; fewer if the file would be too large


def animation(taken: pd.DataFrame, runs: pd.DataFrame, truths: Truths | None = None) -> bytes | None:
    """A GIF of training, a panel an optimizer, each its median seed, and one of real data; None of too few pictures.

    What ended early stays as it was, in grey letters. Where the file would be larger than it may be, colours and frames
    are left out.

    Args:
        taken: the pictures of one problem and one name.
        runs: the problem's runs.
        truths: the problem's pictures of real data.
    """
    moments = list(over_training(taken, runs, MOST))
    shares = sorted({moment.share for moment in moments})
    if len(shares) < LEAST:
        return None
    frames = list(_frames(moments, shares, Tiles(truths or {}, taken.name.iloc[0]), str(taken.title.iloc[0])))
    for colours in COLOURS:
        data = gif(frames, colours)
        if len(data) <= LIMIT:
            return data
    while len(data) > LIMIT and len(frames) > LEAST:
        frames = [*frames[:-1:2], frames[-1]]
        data = gif(frames, COLOURS[-1])
    return data if len(data) <= LIMIT else None


def _frames(moments: Sequence[Moment], shares: Sequence[float], tiles: Tiles, title: str) -> Iterator[Image.Image]:
    """A frame a moment."""
    for moment in moments:
        tiles.add((f"{moment.label}\n{moment.which}", f"{moment.share}"), moment.path)
    window, names = tiles.window, list(dict.fromkeys(row for row, _ in tiles.found))
    sides = next((tile.rows for tile in tiles.found.values() if tile is not None), ())
    pixels: dict[str, Image.Image] = {}
    ended: set[str] = set()
    for share in shares:
        for name in names:
            if (name, f"{share}") in tiles.found:
                pixels[name] = _image(tiles.found[name, f"{share}"], window)
            else:
                ended.add(name)
        shown = pixels | {name: _image(tile, window) for name, tile in tiles.real.items()}
        yield _frame(shown, ended, sides, f"{title}: {tiles.name} after {100 * share:.0f} % of the steps")


def _image(tile: Tile, window: Window | None) -> Image.Image:
    """A picture of about the same size as all others; a damaged one is grey."""
    if tile is None:
        return Image.new("RGB", (SIDE, SIDE), "#bbbbbb")
    array = tile.array
    if window is not None and pointed(tile):
        counts = window.density(array).T[::-1]  # the second coordinate goes up
        array = mpl.colormaps["rocket_r"](counts / max(1.0, counts.max()), bytes=True)[..., :3]
    image = Image.fromarray(array).convert("RGB")
    longest = max(image.size)
    if longest > SIDE * 2:
        return image.resize([max(1, round(side * SIDE / longest)) for side in image.size], Image.Resampling.BOX)
    times = max(1, round(SIDE / longest))  # whole pixels stay sharp
    return image.resize([side * times for side in image.size], Image.Resampling.NEAREST)


def _frame(images: Mapping[str, Image.Image], ended: set[str], sides: Sequence[str], title: str) -> Image.Image:
    """Pictures with their names above them, what their rows show at the left, and a line over all."""
    font = ImageFont.truetype(findfont("DejaVu Sans"), 11)
    width, height = (max(image.size[side] for image in images.values()) for side in (0, 1))
    names = {name: [part for line in name.splitlines() for part in wrap(line, width // 6)] for name in images}
    head = LINE * max(map(len, names.values())) + 4
    across = min(ACROSS, len(images))
    down = -(-len(images) // across)
    left = GAP + max((int(font.getlength(side)) + 5 for side in sides), default=0)
    broad = int(font.getlength(title)) + 5 * GAP  # the last title is longer than the first
    size = (max(left + across * (width + GAP), broad), LINE + GAP)
    frame = Image.new("RGB", (size[0], size[1] + down * (head + height + GAP)), "white")
    pen = ImageDraw.Draw(frame)
    pen.text((GAP, 5), title, "black", font)
    for k, (name, image) in enumerate(images.items()):
        x, y = left + k % across * (width + GAP), size[1] + k // across * (head + height + GAP)
        pen.multiline_text((x, y), "\n".join(names[name]), "#999999" if name in ended else "black", font, spacing=2)
        frame.paste(image, (x, y + head))
        for row, side in enumerate(sides if x == left else ()):
            middle = y + head + (row + 0.5) * image.height / len(sides)
            pen.text((left - 4, middle), side, "black", font, anchor="rm")
    return frame


def gif(frames: Sequence[Image.Image], colours: int) -> bytes:
    """Frames as a GIF that starts again for ever, in one palette of so many colours."""
    height = sum(frame.height for frame in frames)
    every = Image.new("RGB", (max(frame.width for frame in frames), height), "white")
    for k, frame in enumerate(frames):
        every.paste(frame, (0, sum(one.height for one in frames[:k])))
    palette = every.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [SHOWN] * (len(few) - 1) + [LAST]
    file = BytesIO()
    few[0].save(file, "GIF", save_all=True, append_images=few[1:], duration=durations, loop=0, optimize=False)
    return file.getvalue()
