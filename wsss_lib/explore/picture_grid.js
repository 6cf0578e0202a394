// Pictures of one image in a grid. The pixel under the pointer is marked in all of them and told to Python, which
// answers with the text below the grid. Arrow keys move the mark.

function element(parent, tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.appendChild(made);
  return made;
}

function render({ model, el }) {
  el.classList.add("picture-grid");
  const grid = element(el, "div", "pg-grid");
  grid.tabIndex = 0;
  grid.setAttribute("role", "group");
  grid.setAttribute("aria-label", "pictures; arrow keys move the marked pixel");
  const legend = element(el, "div", "pg-legend");
  const readout = element(el, "div", "pg-readout");
  readout.setAttribute("aria-live", "polite");
  let marks = [];
  let addresses = [];
  let asked = 0; // when the pixel was last told to Python and no answer came yet
  let next = null;

  function drawGrid() {
    const panels = model.get("panels");
    const old = addresses;
    addresses = [];
    marks = [];
    const cells = document.createDocumentFragment();
    const columns = Math.max(...panels.map((panel) => panel.column)) + 1;
    grid.style.gridTemplateColumns = `auto repeat(${columns}, ${model.get("width")}px)`;
    const named = new Set();
    for (const panel of panels) {
      const place = (node, row, column) => {
        node.style.gridRow = row;
        node.style.gridColumn = column;
      };
      if (!named.has(`column ${panel.column}`)) {
        named.add(`column ${panel.column}`);
        place(element(cells, "div", "pg-heading", panel.heading), 1, panel.column + 2);
      }
      if (!named.has(`row ${panel.row}`)) {
        named.add(`row ${panel.row}`);
        place(element(cells, "div", "pg-kind", panel.kind), panel.row + 2, 1);
      }
      const figure = element(cells, "figure", "pg-panel");
      place(figure, panel.row + 2, panel.column + 2);
      const frame = element(figure, "div", "pg-frame");
      const image = element(frame, "img", "pg-image");
      image.src = URL.createObjectURL(new Blob([panel.png], { type: "image/png" }));
      image.alt = panel.alt;
      image.draggable = false;
      addresses.push(image.src);
      marks.push(element(frame, "div", "pg-mark"));
      element(figure, "figcaption", "pg-caption", panel.caption);
    }
    grid.replaceChildren(cells);
    old.forEach((address) => URL.revokeObjectURL(address));
    drawMarks();
  }

  function drawMarks() {
    const [height, width] = model.get("size");
    const [row, column] = model.get("pixel");
    for (const mark of marks) {
      mark.style.display = row < 0 ? "none" : "block";
      mark.style.left = `${(100 * column) / width}%`;
      mark.style.top = `${(100 * row) / height}%`;
      mark.style.width = `${100 / width}%`;
      mark.style.height = `${100 / height}%`;
    }
  }

  function drawTexts() {
    legend.innerHTML = model.get("legend");
    readout.innerHTML = model.get("readout");
  }

  function point(row, column) {
    const [height, width] = model.get("size");
    next = [Math.min(Math.max(row, 0), height - 1), Math.min(Math.max(column, 0), width - 1)];
    tell();
  }

  function tell() {
    const waiting = asked && performance.now() - asked < 1000; // a kernel at work answers later
    if (!next || waiting) return;
    const [row, column] = model.get("pixel");
    if (next[0] !== row || next[1] !== column) {
      asked = performance.now();
      model.set("pixel", next);
      model.save_changes();
    }
    next = null;
  }

  grid.addEventListener("pointermove", (event) => {
    const frame = event.target.closest(".pg-frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    const [height, width] = model.get("size");
    const row = Math.floor(((event.clientY - box.top) / box.height) * height);
    point(row, Math.floor(((event.clientX - box.left) / box.width) * width));
  });
  grid.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = model.get("pixel");
    point(row + step[0], column + step[1]);
  });

  model.on("change:panels change:width", drawGrid);
  model.on("change:pixel", drawMarks);
  model.on("change:legend", drawTexts);
  model.on("change:readout", () => {
    asked = 0;
    drawTexts();
    tell();
  });
  drawGrid();
  drawTexts();
  return () => addresses.forEach((address) => URL.revokeObjectURL(address));
}

export default { render };
