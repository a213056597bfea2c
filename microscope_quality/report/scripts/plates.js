// Heat maps of plates.
import { HOVER, addChart, addPoint, ink, inkOn, onPaper } from "./charts.js";
import { NO_NUMBER, column, distinct, empty, failed, grouped, natural, page, reasonOf, shown, status, statuses } from "./data.js";
import { byId, element, inParts } from "./elements.js";
import { chosen, isKnown, numberOf, onChoice, summary, trust } from "./numbers.js";
import { count, countsOf, escaped, overall, plain, short } from "./text.js";

const wellOf = column("well");
// Of the scale, as far as the images of a well may be apart until one number does not tell of all.
const APART = 0.3;
const LETTERS = (row) => (row < 26 ? "" : "A") + String.fromCharCode(65 + (row % 26));
const upTo = (limit) => [...Array(limit).keys()];
const bad = statuses.filter((one) => one.judged && one.badness > 0);
/** Of images that a well's number says nothing of, or not all. */
const odd = statuses.filter((one) => ![0, 3].includes(one.badness));

/** What a well can show: kinds of `summary` with what they are called, and what is said of them. */
function kindsOf() {
  const { label, good, isValue } = chosen();
  const worst = good === "high" ? "low" : "high";
  const extremes = { high: "highest", low: "lowest" };
  const about = (kind) => [kind, overall(extremes[kind], label), `A well shows the ${extremes[kind]} of its images`];
  const kinds = good ? [[...about(worst).slice(0, 2), "A well shows its worst image, since one bad site is enough to look at it"]] : [about("high"), about("low")];
  kinds.push(["mean", overall("mean", label), "A well shows the mean of its images, which may be like none of them"]);
  if (isValue && bad.length) kinds.push(["share", `share not ${statuses[0].words}`, `A well shows how many of 100 images are ${bad.map((one) => one.words).join(" or ")}`]);
  if (isValue && trust) kinds.push(["trust", overall("mean", trust.label), `A well shows the mean ${trust.label} of its images`]);
  return kinds;
}
const apartBy = () => APART * (chosen().range[1] - chosen().range[0]);

/** What stands in a well: its number, and signs of images that have none, as far as there is room. */
function textOf(kind, shows, rows, cell) {
  if (kind === "share") return cell < 24 ? "" : `${Math.round(100 * shows)}`;
  if (kind === "trust") return cell < 24 ? "" : shows.toFixed(1).replace("0.", ".");
  // What is wider than a cell stands below the number.
  const marks = cell < 40 ? [] : odd.filter((one) => rows.some((row) => status[row] === one)).map((one) => one.sign);
  const signs = marks.length && cell < (marks.length > 1 ? 64 : 44) ? `<br>${marks.join("")}` : marks.map((sign) => ` ${sign}`).join("");
  const isWhole = chosen().scale.bins > 0;
  const text = !isWhole ? chosen().brief(shows) : cell < 24 ? String(Math.round(shows)) : shows.toFixed(1);
  return cell < 11 || 0.7 * text.length * fontOf(cell) > cell ? "" : text + (cell < 24 ? "" : signs);
}
const fontOf = (cell) => Math.max(7, Math.min(13, cell / 2.5));

function drawPlate(plate) {
  return (width) => {
    const [high, wide] = page.formats[plate];
    const kind = byId("plate-value").value;
    const choice = chosen();
    const sites = ["site", "channel"].map((name) => [byId(`plate-${name}`).value, column(name)]).filter(([text]) => text);
    const rows = shown.filter((row) => column("plate")[row] === plate && page.wells[wellOf[row]] && sites.every(([text, own]) => own[row] === text));
    const wells = grouped(rows, (row) => page.wells[wellOf[row]].join("|"));
    const outlines = new Map([null, ...NO_NUMBER].map((none) => [none, [[], []]]));
    const apart = { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip", marker: { symbol: "triangle-ne", size: 0, color: [] } };
    // The library chooses greys, which are faint on blue.
    const labels = { type: "scatter", mode: "text", x: [], y: [], text: [], hoverinfo: "skip", textfont: { weight: 600, color: [] } };
    const blank = { type: "scatter", mode: "text", x: [], y: [], text: [], customdata: [], hovertext: [], hovertemplate: HOVER, textfont: { size: 14 } };
    const nothing = () => upTo(high).map(() => new Array(wide).fill(null));
    const [z, words, numbers] = [nothing(), nothing(), nothing()];
    const items = [];
    const cell = (width - 40) / wide;
    const size = Math.max(10, Math.min(44, cell));
    const scale = kind === "trust" ? trust : choice;
    const inkOf = (shows) => inkOn(scale.colour(kind === "share" ? scale.at(shows) : shows));
    // In the upper right corner of its well.
    const corner = Math.max(4, Math.min(10, Math.min(cell, size) / 5));
    const inwards = corner / 2 + (cell > 14 ? 2 : 1);
    apart.marker.size = corner;
    labels.textfont.size = fontOf(cell);
    for (const r of upTo(high)) {
      for (const c of upTo(wide)) {
        const own = wells.get(`${r}|${c}`);
        if (!own) continue;
        const shows = summary(kind, own);
        const none = Number.isNaN(shows) ? reasonOf(own.find((row) => status[row].judged) ?? own.find((row) => status[row] !== failed) ?? own[0]) : null;
        const all = own.filter(isKnown).map(numberOf);
        const [least, most] = [Math.min(...all), Math.max(...all)];
        const differ = most - least > apartBy();
        const range = differ ? `, its images from ${choice.text(least)} to ${choice.text(most)}` : "";
        const about = { share: `${Math.round(100 * shows)} % not ${statuses[0].words}`, trust: trust && `${trust.label} ${trust.text(shows)}` }[kind] || `${choice.noun} ${choice.text(shows)}`;
        const said = `${none ? "" : `${about}${range}; `}${countsOf(own)}`;
        const name = `Well ${plain(wellOf[own[0]])}`;
        words[r][c] = `${escaped(name)}<br>${said}`;
        numbers[r][c] = items.length;
        items.push({ x: c + 1, y: r, at: [r, c], title: name, say: `${name}: ${said}`, rows: own });
        const [xs, ys] = outlines.get(none);
        xs.push(c + 0.53, c + 1.47, c + 1.47, c + 0.53, c + 0.53, null);
        ys.push(r - 0.47, r - 0.47, r + 0.47, r + 0.47, r - 0.47, null);
        if (none) {
          addPoint(blank, { x: c + 1, y: r, text: none.sign, customdata: numbers[r][c], hovertext: words[r][c] });
          continue;
        }
        z[r][c] = shows;
        if (differ) {
          addPoint(apart, { x: c + 1.5 - inwards / cell, y: r - 0.5 + inwards / size });
          apart.marker.color.push(inkOf(shows));
        }
        const text = textOf(kind, shows, own, cell);
        if (text === "") continue;
        addPoint(labels, { x: c + 1, y: r, text });
        labels.textfont.color.push(inkOf(shows));
      }
    }
    const across = upTo(wide).map((one) => one + 1);
    const lettered = upTo(high).filter((one) => one % Math.max(1, Math.ceil(12 / size)) === 0);
    const ramp = scale.scale.colours;
    const [zmin, zmax] = kind === "share" ? [0, 1] : scale.range;
    const heat = {
      type: "heatmap", z, x: across, y: upTo(high), customdata: numbers, hovertext: words,
      hovertemplate: HOVER, xgap: cell > 14 ? 2 : 1, ygap: cell > 14 ? 2 : 1, hoverongaps: false,
      zmin, zmax, colorscale: ramp.map((hue, place) => [place / (ramp.length - 1), hue]), showscale: false,
    };
    // Hatched, which a well that was never imaged is not; on paper a pale number has an edge too.
    const edges = [...outlines].filter(([none, [x]]) => x.length && (onPaper() || none)).map(([none, [x, y]]) => ({
      type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color: ink().soft, width: none ? 1 : 0.5 },
      ...(none ? { fill: "toself", fillcolor: "rgba(0,0,0,0)", fillpattern: { shape: none.hatch, fgcolor: ink().soft, bgcolor: "rgba(0,0,0,0)", fillmode: "replace", size: 6, solidity: 0.2 } } : {}),
    }));
    return {
      items,
      data: [heat, ...edges, labels, apart, blank],
      layout: {
        height: Math.round(high * size + 30), margin: { l: 30, r: 8, t: 26, b: 4 },
        xaxis: { side: "top", range: [0.5, wide + 0.5], tickvals: across.filter((one) => (one - 1) % Math.max(1, Math.ceil(16 / cell)) === 0), ticks: "", showgrid: false, tickfont: { size: 11 }, tickangle: 0 },
        yaxis: { range: [high - 0.5, -0.5], tickvals: lettered, ticktext: lettered.map(LETTERS), ticks: "", showgrid: false, tickfont: { size: 11 } },
        shapes: [{ type: "rect", xref: "x", yref: "y", x0: 0.5, x1: wide + 0.5, y0: -0.5, y1: high - 0.5, line: { color: ink().line, width: 1 }, layer: "below" }],
      },
    };
  };
}

export function startPlates() {
  const home = byId("plate-figures");
  if (!home) return;
  for (const name of ["site", "channel"]) {
    const texts = distinct(column(name));
    byId(`plate-${name}`).replaceChildren(element("option", { value: "" }, "all"), ...texts.map((text) => element("option", { value: text }, short(plain(text), 40))));
    byId(`for-${name}`).hidden = texts.length < 2;
  }
  const names = Object.keys(page.formats).sort(natural);
  const charts = [];
  const add = (plates) => plates.forEach((plate) => {
    const title = plate === "" ? (names.length > 1 ? "Plate without a name" : "The plate") : `Plate ${plain(plate)}`;
    charts.push(addChart(home, title, `${title} as a heat map of ${page.formats[plate].join(" by ")} wells`, drawPlate(plate)));
  });
  const fill = () => byId("plate-value").replaceChildren(...kindsOf().map(([kind, words]) => element("option", { value: kind }, words)));
  const say = () => {
    const [, , about] = kindsOf().find(([kind]) => kind === byId("plate-value").value);
    const some = NO_NUMBER.length > 2 && shown.some((row) => status[row].judged && !isKnown(row));
    byId("plates-value").textContent = `${about}. ◥ marks wells whose images are more than ${Number(apartBy().toPrecision(2))}${chosen().isValue && chosen().scale.bins ? ` ${page.noun}s` : ""} apart.${some ? " Dotted with –: none has a number." : ""}`;
  };
  onChoice(() => { fill(); say(); });
  byId("more-plates").append(inParts(names, 6, add, (left) => count(left, "plate")));
  for (const id of ["plate-value", "plate-site", "plate-channel"]) byId(id).addEventListener("change", () => { say(); charts.forEach((chart) => chart.redraw()); });
  const off = [...new Set(shown.map((row) => wellOf[row]))].filter((well) => well !== "" && !page.wells[well]);
  const without = shown.filter((row) => wellOf[row] === "").length;
  const partly = statuses.find((one) => one.badness === 2);
  byId("plates-note").textContent = [
    `${partly ? `${partly.sign} has a ${partly.words} image, ` : ""}${empty.sign} one ${empty.words.replace("no ", "without ")}, ${failed.sign} one that was not measured. Dotted: no image has ${empty.words.replace("no ", "")}; dashed: none could be measured; blank: there is none. Colours as above.`,
    without ? `${count(without, "image")} without a well ${without === 1 ? "is" : "are"} not drawn.` : "",
    off.length ? `${count(off.length, "name")} that ${off.length === 1 ? "is" : "are"} no well of a plate: ${off.slice(0, 5).map(plain).join(", ")}${off.length > 5 ? " …" : ""}.` : "",
  ].join(" ");
}
