// The table as one sees it.
import { onPaper } from "./charts.js";
import { column, error, failed, files, has, natural, near, page, shown, source, stacks, status, statuses } from "./data.js";
import { save } from "./download.js";
import { breakable, byId, element } from "./elements.js";
import { openGallery, openImage } from "./images.js";
import { choices, chosen, numberOf, onChoice, trust, value } from "./numbers.js";
import { PLANE, capital, count, named, place, plain, short, verdict } from "./text.js";

const LINE = 46;
const MOST_PRINTED = 100;
/** What it is sorted by; `asked` once somebody chose that. */
const order = { name: "", down: false, asked: false };
let pool = shown;
let found = [];
let active = 0;
const extras = ["plate", "well", "site", "channel", ...Object.keys(PLANE), ...page.causes].filter((name) => has(name) && (name !== "z" || stacks.length || new Set(column(name)).size > 1));
const wordsOf = (name) => page.described.find((one) => one.name === name)?.words || capital(name);
const usual = new Set([...page.listed, value.name, ...page.charts.flatMap(({ x, y }) => [x, y])]);
/** Columns of numbers that are shown; the first two of `main` also where there is little room. */
const numbersShown = () => choices.filter((one) => usual.has(one.name) || one === chosen());
const main = () => [chosen(), trust && trust !== chosen() ? trust : value];
const heads = () => [
  ["file", "File", "file"], ...extras.map((name) => [name, wordsOf(name), "extra"]), ["status", "Verdict", "status"],
  ...numbersShown().map((one) => [one.name, one.words, main().includes(one) ? "number" : "number second", one]),
];
const SEARCHED = ["file", "plate", "well", "site", "channel", ...page.causes, "error", "message"];
const messages = column("message");
let haystack = null;
function searchable() {
  if (!haystack) {
    const texts = SEARCHED.filter(has).map(column);
    haystack = files.map((_, row) => texts.map((own) => own[row]).join("\n").toLowerCase());
  }
  return haystack;
}
const inRange = (own, from, to) => (from === "" && to === "") || ((from === "" || own >= Number(from) - 1e-9) && (to === "" || own <= Number(to) + 1e-9));
/** Whether a text has a word: with * or ? as a shell has it, a whole name or a whole word. */
function finder(word) {
  if (!/[*?]/.test(word)) return (text) => text.includes(word);
  const literal = (part) => part.replace(/[.+^${}()|[\]\\/]/g, "\\$&").replace(/\?/g, "[^\\n]");
  const [start, ...rest] = word.split(/\*+/).map(literal);
  const end = rest.pop();
  // The first place is as good as a later one, so that no search begins anew: \1, \2 …
  const between = rest.map((part, number) => `(?=([^\\n]*?${part}))\\${number + 1}`).join("");
  const pattern = new RegExp(`(?:^|[\\s/\\\\])${start}${end === undefined ? "" : `${between}[^\\n]*${end}`}(?:$|\\s)`, "u");
  return (text) => pattern.test(text);
}
function sort(rows) {
  const sign = order.down ? -1 : 1;
  const numbers = order.name === "status" ? page.status : choices.find((one) => one.name === order.name)?.values;
  if (numbers) {
    // Without a number, failed ones before empty ones, at the end whichever way it is sorted.
    const none = (row) => (Number.isNaN(numbers[row]) ? 1 + page.status[row] : 0);
    rows.sort((one, other) => none(one) - none(other) || sign * (numbers[one] - numbers[other]) || one - other);
  } else if (order.name) {
    const texts = column(order.name);
    const rank = new Map([...new Set(rows.map((row) => texts[row]))].sort(natural).map((name, number) => [name, number]));
    rows.sort((one, other) => sign * (rank.get(texts[one]) - rank.get(texts[other])) || one - other);
  }
}
function filter() {
  const text = byId("filter-text").value.trim().toLowerCase();
  const words = text ? text.split(/\s+/).map(finder) : [];
  const wanted = new Set(statuses.filter((one) => byId(`status-${one.key}`).checked));
  const [from, to, low, high] = ["value-from", "value-to", "trust-from", "trust-to"].map((id) => byId(id)?.value || "");
  const planes = byId("all-planes") && byId("all-planes").checked;
  pool = planes ? files.map((_, row) => row) : shown;
  const hay = words.length ? searchable() : null;
  found = pool.filter((row) => wanted.has(status[row]) && inRange(numberOf(row), from, to) && (!trust || inRange(trust.values[row], low, high)) && (!hay || words.every((within) => within(hay[row]))));
  sort(found);
  active = 0;
  byId("shown-count").textContent = `${found.length.toLocaleString("en")} of ${count(pool.length, planes ? "plane" : "image")}`;
  byId("see-pictures").disabled = !found.length;
  byId("grid").setAttribute("aria-rowcount", found.length + 1);
  byId("grid-scroll").scrollTop = 0;
  fillTable();
}
function numberText(numbers, row) {
  return status[row] === failed || Number.isNaN(numbers.values[row]) ? "" : numbers.fine(numbers.values[row]);
}
function line(row, at, room, narrow) {
  const image = source(row);
  const made = element("div", { class: "line", role: "row", tabindex: at === active ? 0 : -1, "aria-rowindex": at + 2, "data-number": at, "aria-label": `${named(row)}: ${verdict(row)}` });
  made.append(element("span", { role: "gridcell" }, image ? element("img", { class: "mini", src: image, alt: "", decoding: "async" }) : ""));
  for (const [name, , kind, numbers] of heads()) {
    const cell = element("span", { role: "gridcell", class: kind });
    if (name === "file") {
      // Where a screen has no room for their columns, the planes of a file are told apart here.
      const where = narrow ? place(row, extras.filter((one) => one in PLANE)) : "";
      const why = error[row] || (page.causes.some(Boolean) ? messages[row] : "");
      const own = Math.max(12, (why && !onPaper() ? room >> 1 : room) - where.length);
      cell.append(element("span", { class: "name" }, element("bdi", { class: files[row].length > own && "cut" }, ...breakable(short(plain(files[row]), own))), where ? element("span", { class: "where" }, ` ${where}`) : null));
      if (why) cell.append(element("span", { class: "why" }, plain(why)));
      cell.title = plain(why ? `${files[row]}: ${why}` : files[row]);
    } else if (name === "status") cell.append(element("span", { "aria-hidden": "true" }, `${status[row].sign} `), element("span", { class: "word" }, status[row].words, near(row) ? element("span", { class: "near" }, near(row)) : null));
    else cell.textContent = numbers ? numberText(numbers, row) : plain(column(name)[row]);
    made.append(cell);
  }
  made.style.top = `${at * LINE}px`;
  return made;
}
export function fillTable() {
  const scroll = byId("grid-scroll");
  const body = byId("grid-body");
  const paper = onPaper();
  const focused = body.contains(document.activeElement);
  const first = paper ? 0 : Math.max(0, Math.floor(scroll.scrollTop / LINE) - 6);
  const last = Math.min(found.length, paper ? MOST_PRINTED : Math.ceil((scroll.scrollTop + scroll.clientHeight) / LINE) + 6);
  scroll.style.maxHeight = paper ? "none" : `${Math.max(3, pool.length) * LINE}px`;
  body.style.height = `${Math.max(1, found.length * LINE)}px`;
  // Paper has room for some: those that matter most, unless an order was asked for.
  const worse = (one, other) => status[other].badness - status[one].badness || (value.badness(other) || 0) - (value.badness(one) || 0);
  const listed = paper && !order.asked && found.length > last ? [...found].sort(worse) : found;
  // The end of a name tells files of a folder apart: what is too long for two lines loses its middle.
  const room = paper ? 72 : Math.max(18, Math.floor((2 * byId("grid-head").querySelector(".file").clientWidth) / 9));
  const narrow = !paper && extras.length > 0 && !byId("grid-head").querySelector(".extra").offsetWidth;
  const places = [];
  for (let at = first; at < last; at++) places.push(at);
  // The active row stays, so that Tab finds the table wherever it is scrolled to.
  if (!paper && active < found.length && (active < first || active >= last)) places.push(active);
  body.replaceChildren(...places.map((at) => line(listed[at], at, room, narrow)));
  if (!found.length) body.append(element("p", { class: "nothing", role: "row" }, element("span", { role: "gridcell" }, "Nothing passes these filters.")));
  if (paper && found.length > last) body.append(element("p", { class: "nothing" }, `${listed === found ? "" : "The worst first. "}… and ${count(found.length - last, "more row")}, in the CSV file.`));
  if (focused) focusLine();
}
function focusLine() {
  const made = byId("grid-body").querySelector(`[data-number="${active}"]`);
  if (made) made.focus({ preventScroll: true });
}
function goTo(at) {
  active = Math.max(0, Math.min(found.length - 1, at));
  const scroll = byId("grid-scroll");
  if (active * LINE < scroll.scrollTop) scroll.scrollTop = active * LINE;
  else if ((active + 1) * LINE > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = (active + 1) * LINE - scroll.clientHeight;
  fillTable();
  focusLine();
}
/** Which way a column is sorted first: the worst on top, where it tells bad from good. */
const isDown = (numbers) => Boolean(numbers?.judged && numbers.good !== "high");
function fillHead() {
  setRoom();
  const head = element("div", { class: "line", role: "row", "aria-rowindex": 1 }, element("span", { role: "columnheader" }, element("span", { class: "unseen" }, "Picture")));
  for (const [name, words, kind, numbers] of heads()) {
    const sorted = order.name !== name ? "none" : order.down ? "descending" : "ascending";
    const arrow = element("span", { "aria-hidden": "true" }, { none: "", descending: " ▾", ascending: " ▴" }[sorted]);
    const sortBy = () => {
      Object.assign(order, { name, down: order.name === name ? !order.down : isDown(numbers), asked: true });
      fillHead();
      byId("grid-head").querySelector(`[data-name="${name}"]`).focus();
      filter();
    };
    const button = element("button", { type: "button", "aria-label": words, title: words, "data-name": name, on: { click: sortBy } }, element("span", { class: "word" }, words), arrow);
    head.append(element("span", { role: "columnheader", class: kind, "aria-sort": sorted }, button));
  }
  byId("grid-head").replaceChildren(head);
}
/** The fields of a range: what is chosen, and how far one can trust it. */
function fillRanges() {
  byId("value-range").textContent = chosen().words;
  for (const [name, numbers] of [["value", chosen()], ["trust", trust]]) {
    if (!numbers) continue;
    const [min, max] = numbers.bounds;
    const step = name === "trust" ? 0.05 : numbers.step;
    for (const end of ["from", "to"]) Object.assign(byId(`${name}-${end}`), { min, max, step, ariaLabel: `${numbers.words} ${end === "to" ? "up to" : end}` });
  }
}
/** Room for the longest word of a text, in characters. */
const longest = (text) => Math.max(0, ...text.split(/[ /]/).map((word) => word.length));
/** The least room for a column, of which no word is cut; texts of causes are short, and have a line. */
function leastOf(name) {
  if (!page.causes.includes(name)) return { plate: "60px", channel: "60px", well: "56px" }[name] || "44px";
  const texts = new Set(column(name));
  return `${[...texts].reduce((most, text) => Math.max(most, text.length), longest(wordsOf(name))) + 0.5}ch`;
}
/** Give all columns their room; where a screen has less, the table is moved sideways. */
function setRoom() {
  const least = extras.map(leastOf);
  // Headings have smaller letters.
  const numbers = numbersShown().map((one) => `${Math.max(5.6, 0.9 * longest(one.words) + 0.3)}ch`);
  const style = byId("grid").style;
  style.setProperty("--extra", least.map((room, at) => (["plate", "channel"].includes(extras[at]) ? `minmax(${room}, 1fr)` : room)).join(" "));
  style.setProperty("--numbers", numbers.map((room) => `minmax(${room}, 86px)`).join(" "));
  style.setProperty("--room", `calc(${["52px", "160px", "128px", "40px", ...least, ...numbers].join(" + ")} + ${8 * (2 + least.length + numbers.length)}px)`);
}
export function startTable() {
  byId("grid").style.setProperty("--extra-print", extras.map(() => "minmax(0, 0.7fr)").join(" "));
  for (const { key, sign, words } of statuses) {
    byId("filter-status").append(element("label", {}, element("input", { type: "checkbox", id: `status-${key}`, checked: true }), `${sign} ${words}`));
  }
  onChoice(() => {
    for (const end of ["from", "to"]) byId(`value-${end}`).value = "";
    Object.assign(order, { name: chosen().name, down: isDown(chosen()), asked: Boolean(byId("grid-head").firstChild) });
    fillHead();
    fillRanges();
    filter();
  });
  const form = byId("filters");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields are empty only after this event.
  form.addEventListener("reset", () => setTimeout(filter));
  const scroll = byId("grid-scroll");
  let waiting = 0;
  scroll.addEventListener("scroll", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(fillTable); });
  scroll.addEventListener("click", (event) => {
    const at = event.target.closest("[data-number]");
    if (!at) return;
    active = Number(at.dataset.number);
    for (const other of scroll.querySelectorAll(".line")) other.tabIndex = other === at ? 0 : -1;
    at.focus({ preventScroll: true });
    openImage(found[active], found, active);
  });
  scroll.addEventListener("keydown", (event) => {
    const pageful = Math.max(1, Math.floor(scroll.clientHeight / LINE) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: pageful, PageUp: -pageful, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" || event.key === " ") {
      if (found.length) openImage(found[active], found, active);
    } else if (event.key in moves) goTo(active + moves[event.key]);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => { if (!onPaper()) fillTable(); }).observe(scroll);
  byId("see-pictures").addEventListener("click", () => openGallery("Rows of the table", found));
  byId("save-table").addEventListener("click", () => {
    const names = page.columns.map((one) => one.name);
    const texts = names.map(column);
    save("results-filtered.csv", names, found.map((row) => texts.map((own) => own[row])));
  });
  for (const tile of document.querySelectorAll(".tile")) {
    tile.addEventListener("click", () => {
      form.reset();
      for (const { key } of statuses) byId(`status-${key}`).checked = key === tile.dataset.status;
    });
  }
}
