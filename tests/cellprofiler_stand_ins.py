"""What stands for the host around a module that is run by itself: a file's image, a window."""

import numpy as np
from cellprofiler_core.image import Image
from cellprofiler_core.utilities.zmq import json_decode, json_encode


def loaded(plane, **settings):
    """Give a plane as CellProfiler has it after loading."""
    scale = np.iinfo(plane.dtype).max
    return Image((plane / scale).astype(np.float32), scale=scale, **settings)


class Window:
    """What the module needs of CellProfiler's window, on a canvas without a screen."""

    def __init__(self, style):
        from matplotlib import style as styles
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with styles.context(style):
            # CellProfiler's size and layout.
            self.figure = Figure(figsize=(6.38, 4.15), constrained_layout=True)
            self.figure.set_constrained_layout_pads(w_pad=0.1, h_pad=0.05, wspace=0, hspace=0)
        self.canvas = FigureCanvasAgg(self.figure)
        self.style = styles.context(style)

    def set_subplots(self, shape):
        self.figure.clf()

    def GetClientSize(self):  # noqa: N802
        width, height = self.figure.get_size_inches() * 100
        # With the bar of tools.
        return round(width), round(height) + 40

    def SetClientSize(self, size):  # noqa: N802
        self.figure.set_size_inches(size[0] / 100, (size[1] - 40) / 100)

    def Centre(self):  # noqa: N802
        self.centred = True


def send(space):
    """Send what a module keeps for its window as a worker would."""
    text, buffers = json_encode(dict(vars(space.display_data)))
    space.display_data.images = json_decode(text, buffers)["images"]


def displayed(module, space, style="default"):
    """Draw what a module kept in a window."""
    window = Window(style)
    with window.style:
        module.display(space, window)
        window.canvas.draw()
    return window


def assert_readable(window, on_colours):
    """Check that all words differ from what is behind them, but for those on colours."""
    from matplotlib.colors import to_rgb
    from matplotlib.text import Text

    behind = np.array(to_rgb(window.figure.get_facecolor()))
    for text in window.figure.findobj(Text):
        if text.get_text() and text not in on_colours:
            assert np.abs(np.array(to_rgb(text.get_color())) - behind).sum() > 2, text


def assert_apart(boxes, window):
    """Check that no two boxes overlap, and that none leaves the window."""
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= window.GetClientSize()[0]
        for other in boxes[:i]:
            apart = (
                box.x1 <= other.x0 + 1
                or other.x1 <= box.x0 + 1
                or box.y1 <= other.y0 + 1
                or other.y1 <= box.y0 + 1
            )
            assert apart, (box, other)
