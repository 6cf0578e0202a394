"""The page of widgets: controls, pictures, the pixel under the pointer, the confusion of the image, export."""

import html
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w

from wsss_lib.explore.explorer import ALL_CLASSES, Explorer
from wsss_lib.explore.picture_grid import PictureGrid, table_html
from wsss_lib.explore.view import CrfOptions

WIDE = {"description_width": "124px"}
ANY = "any class"


def control(kind: type[w.Widget], description: str, width: str = "350px", **settings: Any) -> w.Widget:
    return kind(description=description, style=WIDE, layout=w.Layout(width=width), **settings)


def titled(title: str, *controls: w.Widget, width: str = "auto") -> w.VBox:
    heading = w.HTML(f"<b>{title}</b>")
    return w.VBox([heading, *controls], layout=w.Layout(margin="0 18px 4px 0", width=width))


class Page:
    """Widgets that change an explorer and show what it says.

    Attributes:
        widget: the whole page.
        seconds: how long the last answer took, from the changed control to the pictures handed over.
    """

    def __init__(self, explorer: Explorer, folder: Path):
        """
        Args:
            explorer: what is shown, and shown first.
            folder: where saved figures go.
        """
        self.explorer, self.folder, self.seconds = explorer, folder, 0.0
        self._silent = False
        self._make_controls()
        self.widget = self._laid_out()
        self._offer()
        self._draw()
        self._watch()
        self.status.value = self._note()

    def _make_controls(self) -> None:
        choice = self.explorer.choice
        self.data_set = control(w.Dropdown, "Data set", options=list(self.explorer.data_sets))
        self.split = control(w.Dropdown, "Split")
        self.with_class = control(w.Dropdown, "Images with")
        self.image = control(w.Dropdown, "Image", width="282px")
        self.back, self.on = (
            w.Button(icon=f"chevron-{way}", layout=w.Layout(width="32px")) for way in ("left", "right")
        )
        self.back.tooltip, self.on.tooltip = "previous image", "next image"
        self.runs = w.VBox(layout=w.Layout(max_height="154px", overflow="hidden auto", width="380px", display="block"))
        self.class_name = control(w.Dropdown, "Map of")
        score = {"min": 0.01, "max": 0.99, "step": 0.01, "readout_format": ".2f"}
        self.score = control(w.FloatSlider, "Background score", value=choice.background_score or 0.3, **score)
        self.own = control(w.Checkbox, "each run's own score", value=choice.background_score is None)
        self.blending = control(w.FloatSlider, "Blending", value=choice.blending, min=0, max=1, step=0.05)
        self.outline = control(w.Checkbox, "outline of the truth", value=choice.outline)
        self.width = control(w.IntSlider, "Picture width", value=190, min=96, max=480, step=2)
        crf = choice.crf
        self.alpha = control(
            w.FloatLogSlider, "Alpha", value=crf.alpha, base=2, min=0, max=6, step=0.5, readout_format=".1f"
        )
        self.color = control(
            w.FloatSlider, "Color tolerance", value=crf.bilateral[1], min=1, max=60, step=1, readout_format=".0f"
        )
        self.iterations = control(w.IntSlider, "Iterations", value=crf.iterations, min=0, max=20)
        self.crf = w.Button(description="Run CRF", button_style="primary", layout=w.Layout(margin="2px 0 0 128px"))
        self.status, self.grid = w.HTML(), PictureGrid()
        self.confusion_of = control(w.Dropdown, "Confusion of", width="480px")
        self.confusion = w.HTML()
        self.save, self.saved = w.Button(description="Save figure", icon="download"), w.HTML()

    def _laid_out(self) -> w.VBox:
        image = w.HBox([self.image, self.back, self.on])
        groups = [
            titled("Image", self.data_set, self.split, self.with_class, image),
            titled("Runs", self.runs),
            titled("Overlay", self.class_name, self.score, self.own, self.blending, self.outline, self.width),
            titled("Dense CRF of the maps", self.alpha, self.color, self.iterations, self.crf),
        ]
        below = w.HBox([self.save, self.saved])
        controls = w.HBox(groups, layout=w.Layout(flex_flow="row wrap"))
        return w.VBox([controls, self.status, self.grid, self.confusion_of, self.confusion, below])

    def _watch(self) -> None:
        """Connect every control with what it changes."""
        for name in ("data_set", "split", "image", "class_name", "blending", "outline"):
            self._on(getattr(self, name), lambda value, name=name: self.explorer.change(**{name: value}))
        self._on(self.with_class, lambda _: None)
        self._on(self.score, self._common_score)
        self._on(self.own, lambda own: self.explorer.change(background_score=None if own else self.score.value))
        for slider in (self.alpha, self.color, self.iterations):
            self._on(slider, lambda _: self.explorer.change(crf=self._crf_options()))
        self._on(self.confusion_of, lambda _: None)
        w.link((self.width, "value"), (self.grid, "width"))
        self.grid.observe(lambda _: self._read_pixel(), "pixel")
        self.back.on_click(lambda _: self._answer(lambda: self.explorer.step(self._images(), -1)))
        self.on.on_click(lambda _: self._answer(lambda: self.explorer.step(self._images(), 1)))
        self.crf.on_click(lambda _: self._answer(self.explorer.run_crf))
        self.save.on_click(lambda _: self._save())

    def _on(self, one: w.Widget, act: Callable[[Any], None]) -> None:
        one.observe(lambda change: self._silent or self._answer(lambda: act(change["new"])), "value")

    def _answer(self, act: Callable[[], None]) -> None:
        """Do something, show what came of it or why it failed, and note the time it took."""
        begun = time.perf_counter()
        try:
            act()
            self._offer()
            self._draw()
        except (OSError, ValueError) as error:  # the kernel would keep it from the user
            self._offer()
            self.status.value = f'<span style="color: var(--jp-error-color1, #c00)">{html.escape(str(error))}</span>'
            return
        self.seconds = time.perf_counter() - begun
        self.status.value = self._note()

    def _common_score(self, score: float) -> None:
        self._silently(self.own, value=False)
        self.explorer.change(background_score=score)

    def _crf_options(self) -> CrfOptions:
        before = self.explorer.choice.crf
        bilateral = (before.bilateral[0], self.color.value, before.bilateral[2])
        return CrfOptions(self.alpha.value, before.gaussian, bilateral, self.iterations.value)

    def _silently(self, one: w.Widget, **values: Any) -> None:
        before, self._silent = self._silent, True
        try:
            for name, value in values.items():
                if getattr(one, name) != value:
                    setattr(one, name, value)
        finally:
            self._silent = before

    def _images(self) -> list[str]:
        """Images in the list: those with the class that is asked for."""
        name = self.with_class.value
        class_name = "" if name in (None, ANY) else name
        return self.explorer.data_set.images(self.explorer.choice.split, class_name)

    def _offer(self) -> None:
        """Bring the lists of the controls in line with the choice."""
        explorer, choice, data_set = self.explorer, self.explorer.choice, self.explorer.data_set
        self._silently(self.data_set, value=choice.data_set)
        self._silently(self.split, options=tuple(data_set.splits), value=choice.split)
        if self.with_class.options != (ANY, *data_set.class_names):
            self._silently(self.with_class, options=(ANY, *data_set.class_names), value=ANY)
        images = self._images()
        if choice.image not in images:
            if not images:
                name = self.with_class.value
                self._silently(self.with_class, value=ANY)
                raise ValueError(f"no image of {choice.split} with {name} is held by any run")
            explorer.change(image=images[0])
            choice = explorer.choice
        self._silently(self.image, options=tuple(images), value=choice.image)
        classes = tuple((explorer.view.class_names[k],) * 2 for k in explorer.view.classes)
        options = (*classes, ("the highest of all", ALL_CLASSES))
        self._silently(self.class_name, options=options, value=choice.class_name)
        self._offer_runs()
        shown, before = tuple(explorer.label_maps), self.confusion_of.value
        self._silently(self.confusion_of, options=shown, value=before if before in shown else next(iter(shown), None))

    def _offer_runs(self) -> None:
        names = [source.name for source in self.explorer.data_set.sources]
        if [box.description for box in self.runs.children] == names:
            return
        boxes = [
            w.Checkbox(
                name in self.explorer.choice.sources,
                description=name,
                indent=False,
                layout=w.Layout(width="340px", height="22px", margin="0"),
            )
            for name in names
        ]
        for box in boxes:
            self._on(box, lambda _: self.explorer.change(sources=tuple(b.description for b in boxes if b.value)))
        self.runs.children = boxes

    def _draw(self) -> None:
        explorer = self.explorer
        self.grid.show(explorer.panels(), explorer.legend())
        self._read_pixel()
        shown = explorer.label_maps.get(self.confusion_of.value)
        has_truth = explorer.view.sample.mask is not None
        table = table_html(explorer.view.confusion_table(shown)) if shown is not None and has_truth else ""
        self.confusion.value = f"Pixels of this image; rows are the truth.{table}" if table else ""

    def _read_pixel(self) -> None:
        height, width = self.explorer.view.size
        row, column = self.grid.pixel
        if not (0 <= row < height and 0 <= column < width):
            row, column = self.explorer.strongest_pixel()
            self.grid.pixel = [row, column]
        truth = self.explorer.view.truth_at(row, column)
        place = f"Row {row}, column {column}" + (f", truth: <b>{html.escape(truth)}</b>" if truth else "")
        self.grid.readout = place + table_html(self.explorer.pixel_table(row, column))

    def _note(self) -> str:
        lacking = self.explorer.view.lacking
        seconds = f": {1000 * self.seconds:.0f} ms" if self.seconds else ""
        parts = [f"{self.explorer.choice.image}{seconds}"]
        parts += [f"without this image: {html.escape('; '.join(lacking))}"] if lacking else []
        return " · ".join(parts)

    def _save(self) -> None:
        self.saved.value = "saving ..."
        try:
            paths = self.explorer.save_figure(self.folder)
        except OSError as error:
            self.saved.value = html.escape(str(error))
            return
        self.saved.value = f"saved as {html.escape('/'.join(paths[0].parts[-4:]))}, and as PDF"
