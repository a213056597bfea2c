// The window with an image or several.
import { column, empty, files, large, near, page, source, stackOf, status } from "./data.js";
import { breakable, byId, element, inParts } from "./elements.js";
import { choices, chosen, isKnown, numberOf, value } from "./numbers.js";
import { countsOf, fixed, images, named, place, plain, verdict } from "./text.js";

const CHANGED = {
  changed: "This image has changed since it was measured: its picture does not show what the numbers tell.",
  dated: "This image has another time than when it was measured: unless it was only copied, its picture does not show what the numbers tell.",
  missing: "This image is not there any more.",
};
const changes = new Map(Object.entries(page.changes).flatMap(([kind, rows]) => rows.map((row) => [row, kind])));

export function thumb(row, options = {}) {
  const image = source(row);
  const mark = options.mark ?? `${status[row].sign} ${isKnown(row) ? chosen().text(numberOf(row)) : status[row].words}`;
  const button = { type: "button", class: "thumb", title: plain(files[row]), "aria-label": options.label || `${named(row)}: ${verdict(row)}`, on: { click: options.open } };
  const picture = image ? element("img", { src: image, alt: "", decoding: "async" }) : element("span", { class: "none" }, "no picture");
  const name = options.name ? element("bdi", { class: "name", "aria-hidden": "true" }, ...breakable(named(row))) : null;
  return element("button", button, picture, element("span", { class: "mark", "aria-hidden": "true" }, mark), name);
}

const dialog = byId("dialog");
let opener = null;
let gallery = null;
let step = null;
function show(title, ...content) {
  byId("dialog-title").textContent = title;
  byId("dialog-body").replaceChildren(...content);
  if (!dialog.open) {
    opener = document.activeElement;
    dialog.showModal();
  }
  dialog.scrollTop = 0;
  byId("dialog-title").focus();
}
byId("dialog-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  gallery = null;
  byId("dialog-body").replaceChildren();
  if (opener && opener.isConnected) opener.focus({ preventScroll: true });
  opener = null;
});
dialog.addEventListener("keydown", (event) => {
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else return;
  event.preventDefault();
});

const GALLERY_PAGE = 60;
export function openGallery(title, rows) {
  if (rows.length === 1) return openImage(rows[0]);
  gallery = { title, rows };
  step = null;
  const grid = element("div", { class: "gallery" });
  const add = (next, start) => {
    const made = next.map((row, number) => thumb(row, { name: true, open: () => openImage(row, rows, start + number) }));
    grid.append(...made);
    if (start && made.length) made[0].focus();
  };
  const more = inParts(rows, GALLERY_PAGE, add, (left) => left.toLocaleString("en"));
  show(`${title}: ${images(rows)}`, element("p", { class: "soft" }, countsOf(rows)), grid, element("p", {}, more));
}

const rounded = (text, digits) => (digits === null || text.trim() === "" || Number.isNaN(Number(text)) ? text : fixed(Number(text), digits));
function factsOf(row) {
  const facts = element("dl", {});
  const add = (name, text) => { if (text !== "") facts.append(element("dt", {}, name), element("dd", {}, element("bdi", {}, text))); };
  const text = (name, digits = null) => rounded(column(name)[row], digits);
  add("Verdict", `${status[row].sign} ${status[row].words}${near(row) && `, ${near(row)}`}`);
  add("Plane", place(row));
  for (const { name, words, kind, digits, needs } of page.described) {
    if (needs && Number.isNaN(choices.find((one) => one.name === name).values[row])) continue;
    add(words, kind === "time" ? text(name).replace("T", " ").replace(/(\.\d+)?Z$/, " UTC") : text(name, digits));
    const [low, high] = [text(`${name}_low`, digits), text(`${name}_high`, digits)];
    if (low !== "") add("95 % interval", `${low} to ${high}${text("places") && `, from ${text("places")} places`}`);
  }
  if (text("width") !== "") add("Pixels", `${text("width")} × ${text("height")}`);
  return facts;
}
/** Bars of the probabilities, as far as the table has them. */
function oddsOf(row) {
  const odds = page.distribution.map((name) => Number(column(name)[row] || NaN));
  if (!odds.length || odds.some(Number.isNaN)) return [];
  const likely = odds.map((p, k) => [p, k]).filter(([p]) => p >= 0.05).map(([p, k]) => `${k}: ${Math.round(100 * p)} %`);
  const most = Math.max(...odds);
  const bars = odds.map((p, k) => {
    const bar = element("i", {});
    bar.style.height = `${Math.max(1, (70 * p) / most)}px`;
    bar.style.background = value.scale.colours[k];
    return element("div", { "aria-hidden": "true" }, bar, String(k));
  });
  return [
    element("div", { class: "odds", role: "img", "aria-label": `Probability of each ${page.noun}: ${likely.join(", ")}` }, ...bars),
    element("p", { class: "soft small" }, `Probability of each ${page.noun}.`),
  ];
}
export function openImage(row, rows = null, at = 0) {
  const image = large.get(row) || source(row);
  const inColour = page.coloured && large.has(row);
  const buttons = element("p", { class: "buttons" });
  const button = (words, press, disabled = false) => buttons.append(element("button", { type: "button", disabled, on: { click: press } }, words));
  if (gallery && rows) {
    const back = gallery;
    button(`Back to all ${back.rows.length.toLocaleString("en")}`, () => openGallery(back.title, back.rows));
  }
  step = null;
  if (rows && rows.length > 1) {
    step = (by) => {
      const next = at + by;
      if (next >= 0 && next < rows.length) openImage(rows[next], rows, next);
    };
    button("Previous", () => step(-1), at === 0);
    button("Next", () => step(1), at === rows.length - 1);
    buttons.append(element("span", { class: "soft" }, `${(at + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`));
  }
  if (stackOf.has(row)) {
    const { name, rows: planes } = stackOf.get(row);
    if (rows !== planes) button(`All ${planes.length} planes`, () => openGallery(`Planes of ${plain(name)}`, planes));
  }
  const notes = [CHANGED[changes.get(row)], status[row] === empty ? `Without content its ${page.noun} means nothing.` : status[row].is_void ? `It is a ${status[row].words}: its ${page.noun} means nothing.` : ""].filter(Boolean);
  const about = inColour ? `Patches coloured by ${page.noun}, from ${value.scale.ends.join(" to ")}.` : image && !large.has(row) ? "Small and grey, contrast stretched." : "";
  const picture = image ? element("img", { src: image, alt: `${named(row)}${inColour ? `, patches coloured by ${page.noun}` : ""}` }) : "no picture";
  const left = element("div", {}, element("div", { class: "frame" }, picture), element("p", { class: "soft small" }, about), buttons);
  const right = element("div", {}, ...notes.map((note) => element("p", { class: "note" }, note)), factsOf(row), ...oddsOf(row));
  show(named(row), element("div", { class: "one" }, left, right));
}

export function startWorst() {
  const all = [...document.querySelectorAll(".worst button")];
  const rows = all.map((one) => Number(one.dataset.row));
  all.forEach((button, number) => button.addEventListener("click", () => openImage(rows[number], rows, number)));
  const unfold = byId("all-worst");
  if (!unfold) return;
  unfold.hidden = false;
  unfold.addEventListener("click", () => {
    document.querySelector(".worst").classList.add("all");
    unfold.remove();
    all[8].focus();
  });
}
