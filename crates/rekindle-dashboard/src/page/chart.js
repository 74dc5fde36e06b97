// Curves in SVG, with a readout under the pointer. Texts are set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

function html(tag, className = "", text = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
}

class Plot {
  /** Draws `chart` into `figure`; `view` holds what the reader has chosen, `siblings` all plots of the page. */
  constructor(figure, chart, view, siblings) {
    this.chart = chart;
    this.view = view;
    this.siblings = siblings;
    this.frame = html("div", "plot");
    this.legend = html("div", "legend");
    this.readout = html("div", "readout");
    this.readout.setAttribute("role", "status");
    this.readout.hidden = true;
    figure.append(this.legend, this.frame);
    if (chart.log) figure.querySelector("figcaption").append(this.logButton());
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.frame);
  }

  logButton() {
    const button = html("button", "", "log");
    button.type = "button";
    button.title = "logarithmic scale";
    const show = () => button.setAttribute("aria-pressed", String(this.isLog()));
    button.addEventListener("click", () => {
      this.view.log[this.chart.id] = !this.isLog();
      show();
      this.draw();
    });
    show();
    return button;
  }

  isLog() {
    return Boolean(this.view.log[this.chart.id]);
  }

  axis() {
    return this.chart.x === "epoch" ? "epoch" : this.view.axis;
  }

  /** The points of a series as `[x, y]`, with `null` for a gap. */
  points(series) {
    const column = this.axis() === "epoch" ? 1 : 0;
    const isShown = (value) => value !== null && (!this.isLog() || value > 0);
    return series.points.map((point) => [point[column], isShown(point[2]) ? point[2] : null]);
  }

  /** Goes on with the curves that follow the fields of a step. */
  follow(event) {
    let changed = false;
    for (const series of this.chart.series) {
      if (!series.follows || event[series.follows] === undefined) continue;
      const last = series.points.at(-1);
      if (last && last[0] >= event.step) continue;
      let value = event[series.follows];
      if (series.smoothing && last && last[2] !== null && value !== null) {
        value = last[2] + (value - last[2]) * series.smoothing;
      }
      series.points.push([event.step, event.epoch, value]);
      changed = true;
    }
    if (changed) this.draw();
  }

  draw() {
    const width = this.frame.clientWidth;
    const height = this.frame.clientHeight;
    if (width < 40 || height < 40) return;
    this.curves = this.chart.series
      .map((series) => ({ series, points: this.points(series) }))
      .filter(({ points }) => points.some(([, y]) => y !== null));
    this.measure(width, height);
    const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": this.summary() });
    image.append(this.grid(width), ...this.curves.map((curve) => this.curve(curve)));
    this.marker = svg("g", { class: "marker" });
    image.append(this.marker);
    this.listen(image);
    this.readout.hidden = true;
    this.frame.replaceChildren(image, this.readout);
    this.drawLegend();
  }

  measure(width, height) {
    const { unit } = this.chart;
    const values = this.curves.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y !== null);
    const [left, right] = this.xDomain();
    const [low, high] = domain(values, { fromZero: unit === "bytes" || unit === "count", isLog: this.isLog() });
    const rows = Math.max(2, Math.round(height / 42));
    this.y = scale(low, high, height - 24, 10, rows, this.isLog());
    const label = Math.max(1, ...this.y.ticks.map((tick) => tickText(tick, unit).length));
    this.left = Math.max(36, 12 + label * 6.6);
    this.bottom = height - 24;
    this.x = scale(left, right, this.left, width - 12, Math.max(2, Math.round(width / 80)), false);
    const whole = this.x.ticks.filter(Number.isInteger);
    if (this.axis() === "step" || whole.length > 1) this.x.ticks = whole;
  }

  /** All charts over steps span the same steps, so that they can be read below each other. */
  xDomain() {
    const column = this.axis() === "epoch" ? 1 : 0;
    const ends = this.siblings.filter((plot) => plot.axis() === this.axis()).flatMap((plot) => plot.chart.series
      .filter((series) => series.points.length)
      .flatMap((series) => [series.points[0][column], series.points.at(-1)[column]]));
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    if (!ends.length) return [0, 1];
    return low === high ? [low - 1, high + 1] : [low, high];
  }

  grid(width) {
    const group = svg("g", { class: "axes" });
    for (const tick of this.y.ticks) {
      const y = this.y.toPixels(tick);
      group.append(svg("line", { x1: this.left, x2: width - 12, y1: y, y2: y }));
      group.append(svg("text", { x: this.left - 8, y: y + 4, "text-anchor": "end" }, tickText(tick, this.chart.unit)));
    }
    group.append(svg("text", { x: this.left - 8, y: this.bottom + 18, "text-anchor": "end" }, this.axis()));
    for (const tick of this.x.ticks) {
      const x = this.x.toPixels(tick);
      if (x - tickText(tick, "number").length * 3.3 < this.left - 5) continue;
      const anchor = x > width - 30 ? "end" : "middle";
      group.append(svg("text", { x: anchor === "end" ? width - 12 : x, y: this.bottom + 18, "text-anchor": anchor }, tickText(tick, "number")));
    }
    group.append(svg("line", { class: "base", x1: this.left, x2: width - 12, y1: this.bottom, y2: this.bottom }));
    return group;
  }

  curve({ series, points }) {
    const group = svg("g", { class: `series ${series.style} c${series.color % 8}`, "data-series": series.name });
    const place = ([x, y]) => [this.x.toPixels(x).toFixed(1), this.y.toPixels(y).toFixed(1)];
    if (series.style !== "rings") group.append(svg("path", { d: this.path(points, place) }));
    const isAlone = points.filter(([, y]) => y !== null).length === 1;
    if (series.style === "dots" || series.style === "rings" || isAlone) {
      const radius = series.style === "rings" ? 6.5 : 3;
      for (const point of points) {
        if (point[1] === null) continue;
        const [cx, cy] = place(point);
        group.append(svg("circle", { cx, cy, r: radius }));
      }
    }
    return group;
  }

  path(points, place) {
    let text = "";
    let isOpen = false;
    for (const point of points) {
      if (point[1] !== null) text += `${isOpen ? "L" : "M"}${place(point).join(" ")}`;
      isOpen = point[1] !== null;
    }
    return text;
  }

  drawLegend() {
    const entries = this.curves.map(({ series }) => {
      const entry = html("span", `key ${series.style} c${series.color % 8}`);
      const text = html("bdi", "", series.name);
      entry.append(html("i"), text);
      return entry;
    });
    this.legend.replaceChildren(...(entries.length > 1 ? entries : []));
  }

  /** What the curves show, in words. */
  summary() {
    const { title, unit } = this.chart;
    const parts = this.curves.map(({ series, points }) => {
      const known = points.filter(([, y]) => y !== null);
      const [first, last] = [known[0], known.at(-1)];
      const at = (point) => `${valueText(point[1], unit)} at ${this.axis()} ${tickText(point[0], "number")}`;
      return known.length > 1 ? `${series.name}: from ${at(first)} to ${at(last)}` : `${series.name}: ${at(first)}`;
    });
    return `${title}. ${parts.join(". ")}`;
  }

  listen(image) {
    const follow = (event) => this.read(this.x.fromPixels(event.clientX - image.getBoundingClientRect().left));
    image.addEventListener("pointermove", follow);
    image.addEventListener("pointerdown", follow);
    image.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.unread());
    image.addEventListener("blur", () => this.unread());
    image.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") this.unread();
      if (!move || !this.curves.length) return;
      event.preventDefault();
      const points = this.curves[0].points;
      const index = this.at === undefined ? 0 : nearest(points, this.at) + move;
      this.read(points[Math.min(Math.max(index, 0), points.length - 1)][0]);
    });
  }

  unread() {
    this.readout.hidden = true;
    this.marker.replaceChildren();
    this.at = undefined;
  }

  /** Tells the values nearest to a place on the horizontal axis. */
  read(x) {
    if (!this.curves.length) return;
    const main = this.curves.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    const anchor = main[nearest(main, x)][0];
    const reach = Math.abs(this.x.fromPixels(14) - this.x.fromPixels(0));
    const rows = [];
    this.marker.replaceChildren();
    const line = this.x.toPixels(anchor);
    this.marker.append(svg("line", { x1: line, x2: line, y1: 10, y2: this.bottom }));
    for (const { series, points } of this.curves) {
      const point = points[nearest(points, anchor)];
      if (point[1] === null || series.style === "rings" || Math.abs(point[0] - anchor) > reach) continue;
      const cx = this.x.toPixels(point[0]);
      this.marker.append(svg("circle", { class: `c${series.color % 8}`, cx, cy: this.y.toPixels(point[1]), r: 4 }));
      rows.push([series, point]);
    }
    this.at = anchor;
    this.tell(anchor, rows, line);
  }

  tell(anchor, rows, line) {
    const head = html("b", "", `${this.axis()} ${this.axis() === "epoch" ? Number(anchor.toFixed(3)) : grouped(anchor)}`);
    const lines = rows.map(([series, point]) => {
      const row = html("span", `key ${series.style} c${series.color % 8}`);
      row.append(html("i"), html("bdi", "", series.name), html("em", "", valueText(point[1], this.chart.unit)));
      return row;
    });
    this.readout.replaceChildren(head, ...lines);
    this.readout.hidden = false;
    const isRight = line > this.frame.clientWidth / 2;
    this.readout.style.left = isRight ? "auto" : `${line + 12}px`;
    this.readout.style.right = isRight ? `${this.frame.clientWidth - line + 12}px` : "auto";
  }
}

/** Index of the point nearest to `x`, of points in order. */
function nearest(points, x) {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= x) low = middle;
    else high = middle;
  }
  return x - points[low][0] <= points[high][0] - x ? low : high;
}
