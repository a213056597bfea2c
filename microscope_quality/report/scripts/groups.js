// Shares of the verdicts by plate, site and channel.
import { HOVER, addChart, addPoint, hatched, ink } from "./charts.js";
import { column, distinct, grouped, isBad, page, shown, status, statuses } from "./data.js";
import { byId, element } from "./elements.js";
import { inOrder } from "./marks.js";
import { chosen, mean, onChoice, summary, value } from "./numbers.js";
import { count, escaped, overall, plain, short } from "./text.js";

const MOST_GROUPS = 30;
const TEXTURES = { "": "plain", "/": "striped", x: "crossed", ".": "dotted", "\\": "striped the other way", "-": "dashed" };

function drawGroups(names, groups) {
  return () => {
    const items = [];
    const choice = chosen();
    const means = names.map((name) => choice.brief(summary("mean", groups.get(name))));
    const before = names.map(() => 0);
    const data = statuses.map((one) => {
      const trace = { type: "bar", orientation: "h", x: [], y: [], customdata: [], hovertext: [], hovertemplate: HOVER, marker: { color: one.colour, pattern: hatched(one.hatch, one.colour), line: { color: ink().card, width: 1 } } };
      names.forEach((name, number) => {
        const all = groups.get(name).length;
        const rows = groups.get(name).filter((row) => status[row] === one);
        if (!rows.length) return;
        const said = `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} ${one.words}`;
        addPoint(trace, { x: (100 * rows.length) / all, y: number, customdata: items.length, hovertext: `${escaped(short(name, 60))}: ${said}` });
        items.push({ x: (100 * (before[number] + rows.length / 2)) / all, y: number, title: `${plain(name)}, ${one.words}`, say: `${plain(name)}, ${overall("mean", choice.noun)} ${means[number]}: ${said}`, rows: rows.sort((a, b) => choice.badness(b) - choice.badness(a)) });
        before[number] += rows.length;
      });
      return trace;
    });
    const drawn = inOrder({ data, items }, "y", "x");
    return {
      items: drawn.items,
      data: drawn.data.filter((trace) => trace.x.length),
      layout: {
        barmode: "stack", bargap: 0.25, height: 64 + 27 * names.length, margin: { l: 60, r: 14, t: 4, b: 44 },
        xaxis: { range: [0, 100], title: { text: "share of images, %", standoff: 4 } },
        yaxis: { tickvals: names.map((_, number) => number), ticktext: names.map((name, number) => `${escaped(short(name, 22))}  <b>${means[number]}</b>`), range: [names.length - 0.45, -0.55], showgrid: false, ticks: "" },
      },
    };
  };
}

/** Share of the bad ones among those that tell anything; without verdicts, how bad they are. */
function badnessOf(rows) {
  const judged = rows.filter((row) => status[row].judged);
  return judged.length ? mean(judged.map((row) => (page.limit === null ? value.badness(row) : Number(isBad(row))))) : 0;
}

export function startGroups() {
  const home = byId("group-figures");
  if (!home) return;
  const channels = column("channel").map((text, row) => text || (column("c")[row] === "" ? "" : `c ${column("c")[row]}`));
  const by = [];
  for (const [title, texts] of [["Plates", column("plate")], ["Sites", column("site")], ["Channels", channels]]) {
    const all = distinct(texts);
    if (!all.length || (all.length < 2 && title !== "Channels")) continue;
    const groups = grouped(shown, (row) => texts[row]);
    let names = all;
    let blank = 0;
    if (all.length > MOST_GROUPS) {
      names = all.filter((name) => groups.get(name).some((row) => status[row].badness !== 1));
      blank = all.length - names.length;
      const badness = new Map(names.map((name) => [name, badnessOf(groups.get(name))]));
      if (names.length > MOST_GROUPS) names = names.sort((one, other) => badness.get(other) - badness.get(one)).slice(0, MOST_GROUPS);
    }
    const left = all.length - names.length - blank;
    const one = title.toLowerCase().slice(0, -1);
    const others = [left ? `${count(left, one)} that ${left === 1 ? "is" : "are"} better` : "", blank ? `${count(blank, one)} without content` : ""].filter(Boolean).join(", ");
    const note = others ? element("figcaption", {}, `Not drawn: ${others}.`) : null;
    const head = left ? `${title}: the ${names.length} worst of ${all.length}` : title;
    by.push(one);
    byId("groups").hidden = false;
    if (names.length) addChart(home, head, `${title} by verdict`, drawGroups(names, groups), note);
    else home.append(element("figure", { class: "card" }, element("h3", {}, head), note));
  }
  const title = `By ${by.join(", ").replace(/, ([^,]*)$/, " and $1")}`;
  for (const one of [byId("groups-title"), document.querySelector('nav a[href="#groups"]')]) one.textContent = title;
  const key = statuses.map((one) => `${one.sign} ${one.words}: ${(TEXTURES[one.hatch] || "hatched")}`).join(", ");
  onChoice(() => { byId("key").textContent = `${key}; the number after a name is its ${overall("mean", chosen().label)}.`; });
}
