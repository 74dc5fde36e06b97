// Draws the charts of the page, and keeps up with a run that goes on.

const view = { axis: "step", log: {} };
let plots = [];

function pageData(root) {
  return JSON.parse(root.getElementById("page-data").textContent);
}

function drawAll(charts) {
  plots.forEach((plot) => plot.observer.disconnect());
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const chartOf = (figure) => charts.find((chart) => chart.id === figure.dataset.chart);
  plots = [];
  figures.forEach((figure) => plots.push(new Plot(figure, chartOf(figure), view, plots)));
  for (const button of document.querySelectorAll("button[data-axis]")) {
    const show = () => button.setAttribute("aria-pressed", String(view.axis === button.dataset.axis));
    button.addEventListener("click", () => {
      view.axis = button.dataset.axis;
      document.querySelectorAll("button[data-axis]").forEach((other) => other.dispatchEvent(new Event("chosen")));
      plots.forEach((plot) => plot.draw());
    });
    button.addEventListener("chosen", show);
    show();
  }
}

/** Follows the log of a run: steps go into the curves at once, the rest of the page is fetched anew. */
class Live {
  constructor(cursor) {
    this.timer = null;
    const place = location.pathname.replace(/\/$/, "");
    this.source = new EventSource(`${place}/events?from=${cursor}`);
    this.source.addEventListener("open", () => this.mark("live"));
    this.source.addEventListener("error", () => this.mark("connecting"));
    this.source.addEventListener("change", () => this.soon(0));
    this.source.addEventListener("reset", () => location.reload());
    this.source.addEventListener("message", ({ data }) => this.take(JSON.parse(data)));
  }

  mark(text) {
    this.text = text;
    for (const element of document.querySelectorAll(".live")) {
      element.hidden = false;
      element.textContent = text;
    }
  }

  take(event) {
    if (event.event === "step") plots.forEach((plot) => plot.follow(event));
    this.soon(event.event === "step" ? 2000 : 100);
  }

  /** Refreshes the page in `delay` milliseconds, or earlier if that is planned already. */
  soon(delay) {
    const due = performance.now() + delay;
    if (this.timer !== null && this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.refresh(), delay);
  }

  async refresh() {
    this.timer = null;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = fresh.title;
      document.getElementById("page").replaceWith(document.adoptNode(fresh.getElementById("page")));
      drawAll(pageData(fresh).charts);
      this.mark(this.text);
    } catch {
      // The server is gone; the stream tells when it is back.
    }
  }
}

const data = pageData(document);
drawAll(data.charts);
if (data.cursor) new Live(data.cursor);
