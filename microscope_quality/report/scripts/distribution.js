// How many images have which number.
import { Chart, HOVER, hatched, ink, wholeSteps } from "./charts.js";
import { NO_NUMBER, failed, grouped, numberless, page, reasonOf, shown, status, statuses } from "./data.js";
import { byId } from "./elements.js";
import { chosen, isKnown, onChoice, trust } from "./numbers.js";
import { capital, images } from "./text.js";

// What a number below the axis takes.
const TICK = 36;

function drawDistribution(width) {
  const choice = chosen();
  const { n, of, called, colour } = choice.bins(choice.scale.ranges);
  const isWhole = choice.scale.bins > 0;
  // A bin each, or the edges between some, as far as there is room for them.
  let every = n % 5 ? 2 : 5;
  while (Math.floor(n / every) * TICK > width - 60) every *= 2;
  const ticks = isWhole ? [...Array(n).keys()] : [...Array(Math.floor(n / every) + 1).keys()].map((edge) => every * edge - 0.5);
  const tickOf = (tick) => (isWhole ? String(tick) : choice.brief(choice.at((tick + 0.5) / n)));
  const apart = isWhole ? 0 : 1;
  const nowhere = new Map(NO_NUMBER.map((none, at) => [n + apart + at, none]));
  const binOf = (row) => (isKnown(row) ? of(row) : n + apart + NO_NUMBER.indexOf(reasonOf(row)));
  const partly = (row) => (status[row].badness === 2 && isKnown(row) ? status[row] : null);
  const groups = grouped(shown, (row) => `${binOf(row)}|${partly(row)?.key}`);
  const sureness = trust ? trust.values : choice.values;
  const items = [];
  const data = [];
  const totals = new Array(n + apart + NO_NUMBER.length).fill(0);
  for (let at = 0; at < totals.length; at++) {
    for (const own of [undefined, ...statuses]) {
      const rows = groups.get(`${at}|${own?.key}`);
      if (!rows) continue;
      const none = nowhere.get(at);
      const name = none ? capital(none.words) : `${capital(called(at))}${own ? `, ${own.words}` : ""}`;
      rows.sort((one, other) => sureness[other] - sureness[one]);
      const hue = none ? none.colour : colour(at);
      const say = `${name}: ${images(rows)}`;
      data.push({
        type: "bar", x: [at], y: [rows.length], customdata: [items.length], hovertext: [say], hovertemplate: HOVER, width: 0.88,
        marker: { color: hue, pattern: hatched((none || own)?.hatch || "", hue), line: { color: ink().soft, width: 1 } },
      });
      items.push({ x: at, y: totals[at] + rows.length / 2, title: name, say, rows });
      totals[at] += rows.length;
    }
  }
  const ats = totals.map((_, at) => at);
  data.push({ type: "scatter", mode: "text", x: ats, y: totals, text: totals.map((total) => (total ? total.toLocaleString("en") : "")), textposition: "top center", textfont: { size: 12 }, hoverinfo: "skip", cliponaxis: false });
  const end = Math.max(n - 1, ...[...nowhere.keys()].filter((at) => totals[at]));
  const isLimited = choice.isValue && page.limit !== null;
  const limit = isWhole ? page.limit : (n * (page.limit - choice.at(0))) / (choice.at(1) - choice.at(0)) - 0.5;
  const label = (text, xanchor) => ({ xref: "x", yref: "paper", x: limit, y: 1.11, text, xanchor, showarrow: false, font: { size: 12 } });
  const sides = [statuses[0], statuses.find((one) => one.badness === 3)].map((one) => one?.words || "");
  const [left, right] = choice.good === "high" ? sides.reverse() : sides;
  return {
    items,
    data,
    layout: {
      barmode: "stack", bargap: 0.12, margin: { l: 48, r: 12, t: 34, b: 44 },
      xaxis: { range: [-0.6, end + 0.6], tickvals: [...ticks, ...nowhere.keys()], ticktext: [...ticks.map(tickOf), ...NO_NUMBER.map((none) => none.sign)], title: { text: choice.noun, standoff: 4 }, showgrid: false },
      yaxis: { title: { text: "images", standoff: 4 }, rangemode: "tozero", range: [0, Math.max(...totals, 1) * 1.1], ...wholeSteps(Math.max(...totals)) },
      shapes: isLimited ? [{ type: "line", xref: "x", yref: "paper", x0: limit, x1: limit, y0: 0, y1: 1.06, line: { color: ink().soft, width: 1.5, dash: "dash" } }] : [],
      annotations: isLimited ? [label(`${left} ◂`, "right"), label(`▸ ${right}`, "left")] : [],
    },
  };
}

export function startDistribution() {
  new Chart(byId("plot-values"), drawDistribution);
  onChoice(() => {
    byId("values-chart").textContent = `Images by ${chosen().noun}${chosen().scale.bins ? ", rounded" : ""}`;
    byId("explanation").hidden = !chosen().isValue;
    // The signs that have a bar.
    const reasons = new Set(shown.filter((row) => !isKnown(row)).map(reasonOf));
    byId("contentless").hidden = ![...reasons].some((reason) => reason.badness === 1);
    byId("voided").hidden = ![...reasons].some((reason) => reason.is_void);
    for (const [id, reason] of [["numberless", numberless], ["unmeasured", failed]]) byId(id).hidden = !reasons.has(reason);
  });
  byId("values").hidden = shown.every((row) => status[row] === failed);
}
