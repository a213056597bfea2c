// What the numbers look like.
import { failed, grouped, reasonOf, shown, source, status, statuses } from "./data.js";
import { byId, element } from "./elements.js";
import { openGallery, thumb } from "./images.js";
import { chosen, isKnown, numberOf, onChoice, trust } from "./numbers.js";
import { capital, images } from "./text.js";

// Of the trust; and of pictures side by side where there is none.
const BINS = [0, 0.2, 0.4, 0.6, 0.8, 1.0001];
const SHARES = 5;
// Of numbers that are not whole.
const RANGES = 6;
const bounds = (bin) => `${trust.label} ${BINS[bin]} to ${Math.floor(10 * BINS[bin + 1]) / 10}`;

/** Lines of the table: what they are called, their colour or sign, and their rows. */
function linesOf() {
  const { n, of, called, colour } = chosen().bins(RANGES);
  const partly = statuses.filter((one) => one.badness === 2 && chosen().isValue);
  const groups = grouped(shown.filter(isPlaced), (row) => (partly.includes(status[row]) ? status[row] : of(row)));
  return [
    ...[...Array(n).keys()].map((k) => ({ name: called(k), colour: colour(k), rows: groups.get(k) || [] })),
    ...partly.map((one) => ({ name: one.words, sign: one.sign, rows: groups.get(one) || [] })),
  ].filter((line) => line.rows.length);
}
/** Cells of a line, by the trust; or without one, shares from the lowest number to the highest. */
function cellsOf(rows, used) {
  if (!trust) {
    const sorted = [...rows].sort((one, other) => numberOf(one) - numberOf(other));
    const shares = Math.min(SHARES, rows.length);
    return used.map((part) => sorted.slice(Math.floor((part * sorted.length) / shares), Math.floor(((part + 1) * sorted.length) / shares)));
  }
  const cells = grouped(rows, binOf);
  return used.map((bin) => (cells.get(bin) || []).sort((one, other) => trust.values[one] - trust.values[other]));
}
const binOf = (row) => BINS.findIndex((_, bin) => trust.values[row] < BINS[bin + 1]);
const isPlaced = (row) => isKnown(row) && (!trust || binOf(row) >= 0);

function fillMontage() {
  const rows = shown.filter(isPlaced);
  const used = trust ? [...Array(BINS.length - 1).keys()].filter((bin) => rows.some((row) => binOf(row) === bin)) : [...Array(SHARES).keys()];
  const head = element("thead", {}, trust && element("tr", {}, element("td", {}), ...used.map((bin) => element("th", { scope: "col" }, bounds(bin)))));
  const body = element("tbody", {});
  for (const { name, colour, sign, rows: own } of linesOf()) {
    const swatch = sign ? `${sign} ` : element("span", { class: "swatch" });
    if (colour) swatch.style.background = colour;
    const line = element("tr", {}, element("th", { scope: "row" }, swatch, name));
    cellsOf(own, used).forEach((cell, at) => {
      const title = trust ? `${capital(name)}, ${bounds(used[at])}` : capital(name);
      // The median one among those that have a picture.
      const seen = cell.filter((row) => source(row) !== "");
      const pool = seen.length ? seen : cell;
      line.append(element("td", {}, cell.length
        ? thumb(pool[pool.length >> 1], { mark: `${cell.length.toLocaleString("en")} ×`, label: `${title}: ${images(cell)}`, open: () => openGallery(title, cell) })
        : element("div", { class: "empty" })));
    });
    body.append(line);
  }
  for (const [none, without] of grouped(shown.filter((row) => status[row] !== failed && !isPlaced(row)), reasonOf)) {
    const wide = element("td", { colspan: Math.max(1, used.length) }, element("button", { type: "button", on: { click: () => openGallery(capital(none.words), without) } }, element("span", { class: "keys" }, "See "), images(without)));
    body.append(element("tr", {}, element("th", { scope: "row" }, `${none.sign} ${none.words}`), wide));
  }
  byId("montage-table").replaceChildren(byId("montage-table").caption, head, body);
  byId("montage").hidden = !body.children.length;
  const { noun, scale, label } = chosen();
  byId("montage-title").textContent = scale.bins ? `What the ${noun}s look like` : `What it looks like by ${label}`;
  byId("montage-text").textContent = `One picture of each ${scale.bins ? noun : "range"}${trust ? ` and ${trust.label}` : ""}`;
}
export const startMontage = () => onChoice(fillMontage);
