// Images in the order in which they were taken.
import { Chart, addPoint, ink, wholeSteps } from "./charts.js";
import { column, numbersOf, page, shown, status } from "./data.js";
import { byId } from "./elements.js";
import { marksOf } from "./marks.js";
import { chosen, isKnown, numberOf } from "./numbers.js";
import { capital, count } from "./text.js";

const times = column("modified").map((text) => (text === "" ? NaN : Date.parse(text.replace(/(\.\d{3})\d*Z$/, "$1Z"))));
const points = numbersOf("t");
const PLACES = { time: (row) => times[row], t: (row) => points[row], order: (row) => row + 1 };
// Nothing drifts in that many milliseconds: files of so short a time are copies, mostly.
const BRIEF = 60000;

/** A running median; where many stand at one time, a line would go up and down between them. */
function medians(rows, at) {
  const line = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", line: { color: ink().ink, width: 2 }, customdata: [] };
  const half = Math.max(3, Math.round(rows.length / 60));
  if (rows.length <= 4 * half || new Set(rows.map(at)).size <= rows.length / 2) return line;
  const stride = Math.max(1, Math.floor(rows.length / 300));
  for (let middle = half; middle < rows.length - half; middle += stride) {
    const near = Array.from(rows.slice(middle - half, middle + half + 1), numberOf).sort((one, other) => one - other);
    addPoint(line, { x: at(rows[middle]), y: near[half] });
  }
  return line;
}
function drawCourse(width) {
  const order = byId("time-order").value;
  const byTime = order === "time";
  const at = PLACES[order];
  const { range, label, scale, isValue } = chosen();
  const drift = isValue ? page.drift : "a slow change is a drift, a step happened at once";
  const rows = shown.filter((row) => isKnown(row) && !Number.isNaN(at(row))).sort((one, other) => at(one) - at(other) || one - other);
  const low = rows.length ? at(rows[0]) : 0;
  const high = rows.length ? at(rows[rows.length - 1]) : 1;
  byId("course").textContent = byTime && high - low < BRIEF
    ? `All files were written within ${count(Math.max(1, Math.ceil((high - low) / 1000)), "second")}: too short a time for a drift. The time of a copy is that of copying.`
    : order === "order" ? `If the table has the images in the order in which they were taken, ${drift}.` : `${capital(drift)}.`;
  // Labels stand side by side only with room, and fractions of a second say nothing.
  const most = Math.max(2, Math.floor((width - 60) / 80));
  const seconds = high - low >= 1000 * most ? { nticks: most } : { dtick: 1000, ...(high - low < 1000 ? { range: [1000 * Math.floor(low / 1000) - 500, 1000 * Math.ceil(high / 1000) + 500] } : {}) };
  byId("unjudged-marks").hidden = rows.every((row) => status[row].judged);
  const { items, data } = marksOf(rows, at, numberOf, [[low, range[0]], [high, range[1]]], "thinned-time");
  const line = medians(rows, at);
  byId("median").hidden = !line.x.length;
  return {
    items,
    data: [...data.filter((trace) => trace.x.length), line],
    layout: {
      xaxis: byTime ? { type: "date", ...seconds, title: { text: "time of the file (UTC)", standoff: 6 } } : { title: { text: order === "t" ? "point in time, t" : "place in the table", standoff: 6 }, rangemode: "tozero", tickformat: ",d", ...wholeSteps(high - low) },
      yaxis: { range: [chosen().at(-0.03), chosen().at(1.03)], title: { text: label, standoff: 4 }, ...(scale.bins ? { dtick: Math.ceil(scale.bins / 6) } : {}) },
    },
  };
}

export function startCourse() {
  const order = byId("time-order");
  const rows = shown.filter(isKnown);
  const known = rows.map((row) => times[row]).filter((one) => !Number.isNaN(one));
  const apart = (at) => new Set(rows.map(at).filter((one) => !Number.isNaN(one))).size;
  const extreme = (choose, start) => known.reduce((one, other) => choose(one, other), start);
  const brief = extreme(Math.max, -Infinity) - extreme(Math.min, Infinity) < BRIEF;
  // Copies of one moment, and pages of one file, have no order in time.
  if (order.querySelector("[value=t]") && apart(PLACES.t) > rows.length / 2) order.value = "t";
  else if (apart(PLACES.time) <= rows.length / 2 || brief) order.value = "order";
  if (apart(PLACES.time) < 2) order.querySelector("[value=time]").remove();
  order.closest("form").hidden = order.length < 2;
  byId("time").hidden = rows.length < 2;
  const chart = new Chart(byId("plot-time"), drawCourse);
  order.addEventListener("change", () => chart.redraw());
}
