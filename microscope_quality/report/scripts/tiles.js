// Maps of montages: each tile where it lies.
import { HOVER, addChart, addPoint, ink, inkOn, onPaper } from "./charts.js";
import { NO_NUMBER, column, failed, grouped, isBad, page, reasonOf, shown, status, statuses } from "./data.js";
import { byId, inParts } from "./elements.js";
import { chosen, isKnown, numberOf, onChoice, summary } from "./numbers.js";
import { count, escaped, images, named, plain, verdict } from "./text.js";

// Sides of a tile on the screen, and of a map.
const MOST_CELL = 64;
const LEAST_CELL = 5;
const MOST_HIGH = 900;
const MARGIN = { l: 44, r: 8, t: 28, b: 4 };
const faults = column("fault");
const upTo = (limit) => [...Array(limit).keys()];
const frame = ([xs, ys], r, c, inset) => {
  const [left, right, top, bottom] = [c - inset, c + inset, r - inset, r + inset];
  xs.push(left, right, right, left, left, null);
  ys.push(top, top, bottom, bottom, top, null);
};
/** Numbers of rows or columns that there is room for. */
function ticks(numbers, cell, room) {
  const step = Math.max(1, Math.ceil(room / cell));
  const places = upTo(numbers.length).filter((one) => one % step === 0);
  return { tickvals: places, ticktext: places.map((one) => String(numbers[one])) };
}

function drawTiles({ rows: down, columns: across, places }) {
  const cells = grouped(places, ([, r, c]) => `${r}|${c}`);
  return (width) => {
    const [high, wide] = [down.length, across.length];
    const cell = Math.max(LEAST_CELL, Math.min(MOST_CELL, (width - MARGIN.l - MARGIN.r) / wide, MOST_HIGH / high));
    const choice = chosen();
    const nothing = () => upTo(high).map(() => new Array(wide).fill(null));
    const [z, words, numbers] = [nothing(), nothing(), nothing()];
    const labels = { type: "scatter", mode: "text", x: [], y: [], text: [], hoverinfo: "skip", textfont: { weight: 600, color: [], size: Math.max(7, Math.min(13, cell / 3.2)) } };
    const signs = { type: "scatter", mode: "text", x: [], y: [], text: [], customdata: [], hovertext: [], hovertemplate: HOVER, textfont: { size: Math.max(8, Math.min(20, cell / 2)), color: ink().ink } };
    const corners = { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip", marker: { symbol: "triangle-ne", size: Math.max(4, Math.min(11, cell / 4)), color: [] } };
    const without = new Map(NO_NUMBER.map((none) => [none, [[], []]]));
    const [below, all] = [[[], []], [[], []]];
    const items = [];
    for (const own of cells.values()) {
      const [, r, c] = own[0];
      const rows = own.map(([image]) => shown[image]);
      const shows = rows.every((one) => status[one].is_void) ? NaN : summary(choice.good === "low" ? "high" : "low", rows);
      const [row] = rows;
      const say = rows.length === 1 ? `${named(row)}: ${verdict(row)}` : `Row ${down[r]}, column ${across[c]}: ${images(rows)}, the worst ${choice.noun} ${Number.isNaN(shows) ? "unknown" : choice.text(shows)}`;
      words[r][c] = rows.length === 1 ? `${escaped(named(row))}<br>${escaped(verdict(row))}` : escaped(say);
      numbers[r][c] = items.length;
      items.push({ x: c, y: r, at: [r, c], title: `Row ${down[r]}, column ${across[c]}`, say, rows });
      frame(all, r, c, 0.5);
      if (Number.isNaN(shows)) {
        const none = reasonOf(rows.find((one) => status[one] !== failed) ?? row);
        frame(without.get(none), r, c, 0.46);
        addPoint(signs, { x: c, y: r, text: cell < 9 ? "" : `<b>${none.sign}</b>`, customdata: numbers[r][c], hovertext: words[r][c] });
        continue;
      }
      z[r][c] = shows;
      const hue = inkOn(choice.colour(shows));
      if (rows.some(isBad)) frame(below, r, c, 0.5 - 1.5 / cell);
      if (rows.some((one) => faults[one] !== "")) {
        addPoint(corners, { x: c + 0.5 - (corners.marker.size / 2 + 3) / cell, y: r - 0.5 + (corners.marker.size / 2 + 3) / cell });
        corners.marker.color.push(hue);
      }
      if (cell < 24) continue;
      addPoint(labels, { x: c, y: r, text: choice.brief(shows) });
      labels.textfont.color.push(hue);
    }
    const ramp = choice.scale.colours;
    const [zmin, zmax] = choice.range;
    const gap = cell > 14 ? 2 : cell > 8 ? 1 : 0;
    const lines = ([x, y], line, extra = {}) => ({ type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line, ...extra });
    return {
      items,
      data: [
        { type: "heatmap", z, x: upTo(wide), y: upTo(high), customdata: numbers, hovertext: words, hovertemplate: HOVER, xgap: gap, ygap: gap, hoverongaps: false, zmin, zmax, colorscale: ramp.map((hue, at) => [at / (ramp.length - 1), hue]), showscale: false },
        ...[...without].filter(([, [x]]) => x.length).map(([none, at]) => lines(at, { color: ink().soft, width: 1 }, { fill: "toself", fillcolor: "rgba(0,0,0,0)", fillpattern: { shape: none.hatch, fgcolor: ink().soft, bgcolor: ink().line, fillmode: "replace", size: 8, solidity: 0.15 } })),
        // On paper a pale tile has an edge too.
        ...(onPaper() ? [lines(all, { color: ink().soft, width: 0.5 })] : []),
        lines(below, { color: ink().ink, width: cell > 14 ? 3 : 1 }),
        labels, corners, signs,
      ],
      layout: {
        height: Math.round(high * cell + MARGIN.t + MARGIN.b), margin: MARGIN,
        // Tiles are square where there is more room than they need.
        xaxis: { side: "top", range: [-0.5, (width - MARGIN.l - MARGIN.r) / cell - 0.5], ...ticks(across, cell, 28), ticks: "", showgrid: false, showline: false, tickfont: { size: 11 } },
        yaxis: { range: [high - 0.5, -0.5], ...ticks(down, cell, 14), ticks: "", showgrid: false, showline: false, tickfont: { size: 11 } },
      },
    };
  };
}

export function startTiles() {
  const home = byId("tile-figures");
  if (!home) return;
  const montages = page.tiles.filter((one) => one.montage);
  const add = (grids) => grids.forEach((grid) => {
    const title = plain(grid.name) || (montages.length > 1 ? "Montage without a name" : "The montage");
    const chart = addChart(home, title, `${title} as a map of ${grid.rows.length} rows and ${grid.columns.length} columns`, drawTiles(grid));
    // No wider than its tiles, with the card's padding.
    chart.plot.parentElement.style.maxWidth = `${Math.max(320, MOST_CELL * grid.columns.length + MARGIN.l + MARGIN.r + 34)}px`;
  });
  byId("more-tiles").append(inParts(montages, 4, add, (left) => count(left, "montage")));
  const odd = statuses.filter((one) => !one.judged && shown.some((row) => status[row] === one));
  const placed = montages.reduce((sum, one) => sum + one.places.length, 0);
  const notes = [
    statuses.some((one) => one.badness === 3 && one.judged && shown.some((row) => status[row] === one)) && page.limit !== null ? `Framed: ${statuses.find((one) => one.badness === 3 && one.judged).words}.` : "",
    shown.some((row) => status[row].judged && faults[row] !== "") ? "◥ has a fault of the grab, such as saturation." : "",
    odd.length ? `Grey and hatched, without a number: ${odd.map((one) => `${one.sign} ${one.words}`).join(", ")}.` : "",
    placed < shown.length ? `${count(shown.length - placed, "image")} whose names tell of no place ${shown.length - placed === 1 ? "is" : "are"} not drawn.` : "",
  ];
  byId("tiles-note").textContent = notes.filter(Boolean).join(" ");
  onChoice(() => {
    const { label, isValue, good } = chosen();
    byId("tiles-value").textContent = `Each tile has the colour of its ${label}${isValue || good ? "" : ", the lowest where it has several"}.`;
  });
}
