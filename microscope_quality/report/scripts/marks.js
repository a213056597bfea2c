// Points of many images, of which near ones are one mark.
import { HOVER, addPoint, edge, ink, onPaper } from "./charts.js";
import { grouped, status, statuses } from "./data.js";
import { byId } from "./elements.js";
import { chosen, isKnown, numberOf } from "./numbers.js";
import { escaped, images, named, short, verdict } from "./text.js";

const MOST_MARKS = 1500;

/** Marks of many rows, not many more than there is room for: near ones of one status are one. */
function thinned(rows, x, y, [low, high]) {
  const cells = Math.max(12, Math.round(Math.sqrt(MOST_MARKS * 2)));
  const cell = (value, axis) => Math.floor(((value - low[axis]) / (high[axis] - low[axis] || 1)) * cells);
  const near = (row) => (rows.length <= MOST_MARKS ? row : `${status[row].key}|${cell(x(row), 0)}|${cell(y(row), 1)}`);
  return [...grouped(rows, near).values()];
}

/** Sort items along the axes, the first one first, and keep the numbers in the traces right. */
export function inOrder({ data, items }, first, second) {
  const order = items.map((_, number) => number).sort((one, other) => items[one][first] - items[other][first] || items[one][second] - items[other][second]);
  const now = new Array(order.length);
  order.forEach((before, number) => { now[before] = number; });
  for (const trace of data) trace.customdata = trace.customdata.map((number) => now[number]);
  return { data, items: order.map((number) => items[number]) };
}

/** Traces, one for each status, and items of rows at their places; says into an element what was thinned. */
export function marksOf(rows, x, y, limits, id) {
  const marks = thinned(rows, x, y, limits);
  byId(id).textContent = marks.length < rows.length ? ` ${images(rows)} are drawn as ${marks.length.toLocaleString("en")} marks: near ones of one verdict are one, the larger the more.` : "";
  const items = [];
  const data = statuses.map((one) => {
    const trace = { type: "scatter", mode: "markers", name: one.words, x: [], y: [], customdata: [], hovertext: [], hovertemplate: HOVER, marker: { symbol: one.mark, size: [], color: [], opacity: 1, line: { color: [] } } };
    const hollow = one.mark.endsWith("-open");
    trace.marker.line.width = hollow ? 2 : 1;
    for (const near of marks.filter(([row]) => status[row] === one)) {
      const [row] = near;
      const many = near.length > 1;
      const hovertext = many ? `${near.length} images here, ${one.words}` : `${escaped(short(named(row), 48))}<br>${verdict(row)}`;
      addPoint(trace, { x: x(row), y: y(row), customdata: items.length, hovertext });
      trace.marker.size.push(Math.min(20, 7 + 2 * Math.log2(near.length)));
      const hue = isKnown(row) ? chosen().colour(numberOf(row)) : ink().soft;
      const rim = isKnown(row) ? edge(hue) : hue;
      // What is open has the colour of its edge; without colours, what is filled is dark.
      trace.marker.color.push(hollow || onPaper() ? rim : hue);
      trace.marker.line.color.push(rim);
      items.push({ x: x(row), y: y(row), title: many ? "Images near this point" : named(row), say: many ? `${near.length} images, ${one.words}` : `${named(row)}: ${verdict(row)}`, rows: near });
    }
    return trace;
  });
  return inOrder({ data, items }, "x", "y");
}
