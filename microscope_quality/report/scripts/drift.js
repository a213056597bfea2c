// What a microscope is set by, over the hours, with lines through it.
import { Chart, ink } from "./charts.js";
import { column, page, shown, status } from "./data.js";
import { byId } from "./elements.js";
import { marksOf } from "./marks.js";
import { choices } from "./numbers.js";

const timeOf = (text) => (text === "" ? NaN : Date.parse(text.replace(/(\.\d{3})\d*Z$/, "$1Z")));
const HOUR = 3600000;
// Of a line that may turn by more than its axis is long.
const STEPS = 240;

/** A line from the first image to the last; one of angles goes on at the other end. */
function lineOf({ start, per_hour: perHour, hours, turns }, first) {
  const steps = turns ? STEPS : 1;
  const line = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", line: { color: ink().ink, width: 2 } };
  let last = NaN;
  for (let step = 0; step <= steps; step += 1) {
    const passed = (hours * step) / steps;
    const y = start + perHour * passed;
    const seen = turns ? ((y % turns) + turns) % turns : y;
    if (turns && Math.abs(seen - last) > turns / 2) { line.x.push(null); line.y.push(null); }
    line.x.push(first + HOUR * passed);
    line.y.push(seen);
    last = seen;
  }
  return line;
}

function drawDrift(drift, number) {
  const { values } = choices.find((one) => one.name === drift.name);
  const times = column("modified").map(timeOf);
  const rows = shown.filter((row) => status[row].judged && !Number.isNaN(values[row]) && !Number.isNaN(times[row]));
  return (width) => {
    const at = rows.map((row) => times[row]);
    const [low, high] = [Math.min(...at), Math.max(...at)];
    const known = rows.map((row) => values[row]);
    const line = drift.line && lineOf({ ...drift.line, turns: drift.turns }, low);
    const drawn = line ? [...known, ...line.y] : known;
    const ends = drift.turns ? [0, drift.turns] : [Math.min(...drawn), Math.max(...drawn)];
    const room = 0.06 * (ends[1] - ends[0] || 1);
    const { items, data } = marksOf(rows, (row) => times[row], (row) => values[row], [[low, ends[0]], [high, ends[1]]], `thinned-drift-${number}`);
    return {
      items,
      data: [...data.filter((trace) => trace.x.length), ...(line ? [line] : [])],
      layout: {
        xaxis: { type: "date", nticks: Math.max(3, Math.floor((width - 60) / 60)), title: { text: "time of the file (UTC)", standoff: 6 } },
        yaxis: { range: [ends[0] - room, ends[1] + room], ...(drift.turns ? { dtick: drift.turns / 4 } : {}) },
      },
    };
  };
}

export const startDrift = () => page.drifts.forEach((drift, number) => new Chart(byId(`plot-drift-${number}`), drawDrift(drift, number)));
