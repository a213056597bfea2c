// Charts that open images, and their colours on a screen and on paper.
import { announce, element } from "./elements.js";
import { openGallery, openImage } from "./images.js";

export const HOVER = "%{hovertext}<extra></extra>";

const charts = [];
let paper = false;
export const onPaper = () => paper;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
export function ink() {
  const css = getComputedStyle(document.documentElement);
  const value = (name, printed) => (paper ? printed : css.getPropertyValue(name).trim());
  return { ink: value("--ink", "#000"), soft: value("--soft", "#333"), line: value("--line", "#ccc"), card: value("--card", "#fff") };
}
function layoutOf(extra) {
  const colours = ink();
  const axis = (own) => ({ gridcolor: colours.line, linecolor: colours.soft, zeroline: false, fixedrange: true, automargin: true, tickangle: 0, ticks: "outside", tickcolor: colours.line, ...own });
  const { xaxis, yaxis, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colours.ink },
    margin: { l: 48, r: 12, t: 8, b: 42 }, showlegend: false,
    hoverlabel: { bgcolor: colours.ink, bordercolor: colours.ink, font: { color: colours.card } },
    xaxis: axis(xaxis), yaxis: axis(yaxis), ...rest,
  };
}

/** Of what is counted there are no halves. */
export const wholeSteps = (range) => (range < 6 ? { dtick: 1 } : {});

/** Add a point to a trace, of which each of these properties is a list. */
export function addPoint(trace, point) {
  for (const [name, own] of Object.entries(point)) trace[name].push(own);
}

/**
 * A chart that opens images: by click, and by keyboard from one item to the next.
 *
 * build(width) gives the traces, whose customdata are numbers of items, the layout, and the
 * items: place on the axes, what to say, title and rows to open, and for a grid `at`: [r, c].
 */
export class Chart {
  constructor(plot, build) {
    this.plot = plot;
    this.build = build;
    this.items = [];
    this.cursor = -1;
    this.drawn = false;
    this.ring = element("div", { class: "ring", hidden: true });
    this.reading = element("div", { class: "reading", hidden: true });
    this.canvas = element("div", {});
    this.canvas.style.height = "100%";
    plot.append(this.canvas, this.ring, this.reading);
    const spoken = { role: "application", "aria-roledescription": "chart", "aria-label": `${plot.dataset.label}. Arrow keys move, Enter opens.` };
    for (const [name, text] of Object.entries(spoken)) plot.setAttribute(name, text);
    plot.tabIndex = 0;
    plot.addEventListener("keydown", (event) => this.key(event));
    plot.addEventListener("blur", () => this.leave());
    charts.push(this);
    if (window.Plotly) this.begin();
  }

  begin() {
    seen.observe(this.plot);
  }

  draw(width = 0) {
    if (!window.Plotly || this.plot.closest("[hidden]")) return;
    const wide = width || this.plot.clientWidth;
    const { data, layout, items } = this.build(wide);
    this.items = items;
    this.cursor = -1;
    const height = layout.height || this.plot.clientHeight;
    if (layout.height) this.plot.style.height = `${layout.height}px`;
    Plotly.react(this.canvas, data, { ...layoutOf(layout), width: wide, height }, { displayModeBar: false });
    if (!this.drawn) {
      this.canvas.on("plotly_click", (event) => {
        const number = event.points[0].customdata;
        const item = this.items[Array.isArray(number) ? number[0] : number];
        if (item) {
          this.plot.focus({ preventScroll: true });
          this.leave();
          this.open(item);
        }
      });
    }
    this.drawn = true;
  }

  redraw() {
    if (this.drawn) this.draw();
  }

  /** One image has all of the chart before and after it. */
  open(item) {
    if (item.rows.length > 1) return openGallery(item.title, item.rows);
    const rows = this.items.flatMap((one) => one.rows);
    openImage(item.rows[0], rows, rows.indexOf(item.rows[0]));
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.drawn || !this.items.length) return;
    const last = this.items.length - 1;
    let next = this.cursor;
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (event.key === "Enter" || event.key === " ") {
      const item = this.items[this.cursor];
      event.preventDefault();
      if (item) this.open(item);
      return;
    }
    if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    else if (!(event.key in moves)) return;
    else if (next < 0) next = 0;
    else if (this.items[0].at) next = this.neighbour(moves[event.key]);
    else {
      const [down, right] = moves[event.key];
      next = Math.min(last, Math.max(0, next + right + down * Math.max(1, Math.min(10, Math.round(last / 10)))));
    }
    event.preventDefault();
    this.move(next);
  }

  /** The nearest item in a direction of a grid, of which places may be empty. */
  neighbour([down, right]) {
    const [row, col] = this.items[this.cursor].at;
    let best = this.cursor;
    let least = Infinity;
    this.items.forEach(({ at: [r, c] }, number) => {
      const along = (r - row) * down + (c - col) * right;
      const aside = Math.abs((r - row) * right) + Math.abs((c - col) * down);
      if (along > 0 && along + 100 * aside < least) [best, least] = [number, along + 100 * aside];
    });
    return best;
  }

  move(number) {
    this.cursor = number;
    const item = this.items[number];
    const axes = this.canvas._fullLayout;
    this.ring.style.left = `${axes.xaxis._offset + axes.xaxis.d2p(item.x)}px`;
    this.ring.style.top = `${axes.yaxis._offset + axes.yaxis.d2p(item.y)}px`;
    if (item.at) {
      // Around the well, whose number stays to be read.
      const across = (axis) => `${Math.abs(axis.d2p(1) - axis.d2p(0)) + 4}px`;
      Object.assign(this.ring.style, { width: across(axes.xaxis), height: across(axes.yaxis), borderRadius: "4px" });
    }
    this.ring.hidden = false;
    this.reading.textContent = item.say;
    this.reading.hidden = false;
    announce(item.say);
  }

  leave() {
    this.ring.hidden = true;
    this.reading.hidden = true;
  }
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find((one) => one.plot === entry.target);
    if (entry.isIntersecting && chart && !chart.drawn) chart.draw();
  }
}, { rootMargin: "600px" });
/** Draw the charts up to an element now, as they change the place of what follows them. */
export function drawAbove(end) {
  for (const chart of charts) {
    const follows = end.compareDocumentPosition(chart.plot) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!chart.drawn && (!follows || end.contains(chart.plot))) chart.draw();
  }
}
export const redraw = () => charts.forEach((chart) => chart.redraw());
dark.addEventListener("change", redraw);
/** Draw charts that nobody scrolled to yet, one whenever the browser has nothing else to do. */
function drawRest() {
  const next = window.Plotly && charts.find((one) => !one.drawn && !one.plot.closest("[hidden]"));
  if (!next) return;
  next.draw();
  whenIdle(drawRest);
}
const whenIdle = window.requestIdleCallback ? (work) => requestIdleCallback(work) : (work) => setTimeout(work, 50);
// The charts' library comes after this script: by then all else is at work.
document.addEventListener("DOMContentLoaded", () => {
  charts.forEach((chart) => chart.begin());
  whenIdle(drawRest);
});

const PAPER_WIDE = 640;
const PAPER_HALF = 305;
export function setPaper(printing) {
  paper = printing;
  if (!paper) redraw();
  else for (const chart of charts) chart.draw(chart.plot.closest("#groups, .triple") ? PAPER_HALF : PAPER_WIDE);
}

/** A card with a chart in it. */
export function addChart(home, title, label, build, caption = null) {
  const plot = element("div", { class: "plot", "data-label": label });
  home.append(element("figure", { class: "card" }, element("h3", {}, title), plot, caption));
  return new Chart(plot, build);
}

const channels = (hue) => [1, 3, 5].map((at) => parseInt(hue.slice(at, at + 2), 16) / 255);
/** Relative luminance after WCAG 2.2. */
function luminance(parts) {
  const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
/** Black or white, whichever has more contrast on a colour. */
export const inkOn = (hue) => (luminance(channels(hue)) > 0.179 ? "#000" : "#fff");
/** A colour, darkened until a mark's edge in it stands out from white (WCAG 2.2, 1.4.11), also in print. */
export function edge(hue) {
  const least = paper ? 7 : 3;
  let parts = channels(hue);
  while ((paper || !dark.matches) && 1.05 / (luminance(parts) + 0.05) < least) parts = parts.map((part) => part * 0.92);
  return `rgb(${parts.map((part) => Math.round(255 * part)).join(",")})`;
}
export const hatched = (shape, hue) => ({ shape, fgcolor: "#1c2430", bgcolor: hue, fillmode: "replace", size: 7, solidity: 0.25 });
