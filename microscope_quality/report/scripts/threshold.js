// What to keep.
import { column, empty, failed, files, grouped, isBad, page, remedyOf, shown, status, statuses } from "./data.js";
import { save } from "./download.js";
import { byId, element } from "./elements.js";
import { openGallery, openImage, thumb } from "./images.js";
import { trust, value } from "./numbers.js";
import { capital, images } from "./text.js";

const choices = statuses.filter((one) => one.choice);
/** Thrown out in any case. */
const useless = statuses.filter((one) => !one.judged && !one.choice && one !== failed);
const limited = [["value", value], ["trust", trust]].filter(([, numbers]) => numbers);
/** Why images are thrown out, by what stands in the list. */
const REASONS = new Map([
  ...limited.map(([, numbers]) => [numbers.name, `by their ${numbers.label}`]),
  ...statuses.filter((one) => choices.includes(one) || useless.includes(one)).map((one) => [one.key, one === empty ? "without content" : one.is_void ? one.said : one.words]),
  [failed.key, failed.words],
]);
const LISTED = ["file", "series", "z", "c", "t", "plate", "well", "site", "channel", ...page.listed, "status"];

function reasonFor(row, limits) {
  if (status[row] === failed || limits.dropped.has(status[row])) return status[row].key;
  if (!status[row].judged) return "";
  const over = value.values[row] - limits.value;
  if (!((value.good === "high" ? -over : over) <= 1e-9)) return value.name;
  return trust && !(trust.values[row] >= limits.trust - 1e-9) ? trust.name : "";
}

let reasons = new Map();
let kept = [];
let rejected = [];
function judge() {
  const limits = { dropped: new Set([...useless, ...choices.filter((one) => byId(`drop-${one.key}`).checked)]) };
  for (const [name] of limited) limits[name] = Number(byId(`${name}-limit`).value);
  reasons = new Map(shown.map((row) => [row, reasonFor(row, limits)]));
  kept = shown.filter((row) => !reasons.get(row));
  rejected = shown.filter((row) => reasons.get(row));
  const thrownOut = `${rejected.length.toLocaleString("en")} thrown out`;
  const good = page.limit === null ? [] : rejected.filter((row) => status[row] === statuses[0]);
  byId("kept-count").textContent = `${images(kept)} kept, ${thrownOut}`;
  byId("to-keep-count").textContent = `${kept.length.toLocaleString("en")} would be kept and ${thrownOut}${good.length ? `, ${good.length.toLocaleString("en")} of them ${statuses[0].words}` : ""}`;
  byId("save-rejected-now").hidden = !rejected.length;
  byId("kept-share").style.width = `${(100 * kept.length) / shown.length}%`;
  const because = Array.from(REASONS, ([one, words]) => [rejected.filter((row) => reasons.get(row) === one).length, words]).filter(([number]) => number);
  byId("reasons").textContent = rejected.length ? `Thrown out: ${because.map(([number, words]) => `${number.toLocaleString("en")} ${words}`).join(", ")}.` : "Nothing is thrown out.";
  showRemedies();
  sayAgainst(good.filter((row) => reasons.get(row) === value.name), kept.filter((row) => status[row].badness === 3), limits.value);
  // Those nearest to the limit say most about it.
  const distance = (row) => Math.abs(trust && reasons.get(row) === trust.name ? limits.trust - trust.values[row] : (value.values[row] - limits.value) / (value.at(1) - value.at(0))) + (status[row].badness === 2 && reasons.get(row) === status[row].key ? 1 : 0);
  for (const [id, all] of [["just-out", rejected], ["just-in", kept]]) {
    const near = all.map((row) => [distance(row), row]).filter(([far]) => !Number.isNaN(far));
    const rows = near.sort(([one, row], [other, second]) => one - other || row - second).slice(0, 7).map(([, row]) => row);
    const thumbs = rows.map((row, number) => thumb(row, { mark: `${status[row].sign} ${value.fine(value.values[row])}`, open: () => openImage(row, rows, number) }));
    byId(id).replaceChildren(...(rows.length ? thumbs : [element("span", { class: "soft" }, "none")]));
  }
}
/** Say what is to be done about those thrown out, as far as that is known. */
function showRemedies() {
  const known = rejected.filter((row) => remedyOf.get(row)?.some(Boolean));
  const pairs = [...grouped(known, (row) => remedyOf.get(row).filter(Boolean).join(" → "))].sort(([, one], [, other]) => other.length - one.length);
  byId("remedies").replaceChildren(...pairs.map(([pair, rows]) => element("button", { type: "button", class: "remedy", on: { click: () => openGallery(capital(pair), rows) } }, element("strong", {}, rows.length.toLocaleString("en")), ` ${pair}`)));
}
/** Say where the limit goes against the verdict. */
function sayAgainst(lost, slipped, limit) {
  const against = [[lost, statuses[0], "thrown out"], [slipped, statuses.find((one) => one.badness === 3), "kept"]];
  byId("against-verdict").replaceChildren(...against.filter(([rows]) => rows.length).map(([rows, { words }, fate]) => element(
    "p",
    { class: "note" },
    element("strong", {}, `${images(rows)} ${words} ${rows.length === 1 ? "is" : "are"} ${fate}.`),
    ` The verdict was given with a limit of ${page.limit}, here it is ${limit}. `,
    element("button", { type: "button", class: "keys", on: { click: () => openGallery(`${capital(words)}, but ${fate}`, rows) } }, rows.length === 1 ? "See it" : "See them"),
  )));
}
/** A field of a row in a list: one may be thrown out by another limit than that it was judged by. */
function field(name, row) {
  const which = page.causes.indexOf(name);
  return which >= 0 && reasons.get(row) ? remedyOf.get(row)[which] : column(name)[row];
}
function saveList(name, rows) {
  save(name, [...LISTED, "reason", "message"], rows.map((row) => [...LISTED.map((one) => field(one, row)), reasons.get(row), column("message")[row]]));
}

/** What is said of an image that was poor by its own limit, and is not by this one. */
const goodNow = (row) => (column("fault")[row] === "saturated" ? ["saturated", "look"] : ["", ""]);
/** All images, and whether each is to be taken again at the limit, as the command retake lists them. */
function saveRetake() {
  const told = ["series", "z", "c", "t", "plate", "well", "site", "channel"].filter((name) => shown.some((row) => column(name)[row] !== ""));
  const tiles = new Map(page.tiles.flatMap(({ rows, columns, places }) => places.map(([image, r, c]) => [shown[image], [rows[r], columns[c]].map(String)])));
  const [ofCause, ofAction] = page.causes.map(column);
  const names = ["tile", "score", "cause", "action", "retake", "fault", ...told, ...(tiles.size ? ["row", "column"] : []), "message"];
  save("retake.csv", names, shown.map((row) => {
    const one = status[row];
    const isLow = reasons.get(row) === value.name;
    const [cause, action] = one === failed ? ["not read", "retake"] : one.badness === 1 ? [one.words, "look"] : isLow ? remedyOf.get(row) : isBad(row) ? goodNow(row) : [ofCause[row], ofAction[row]];
    return [
      files[row], one.judged ? column(value.name)[row] : "", cause, action, isLow || one.is_void || one === failed ? "yes" : "no", column("fault")[row],
      ...told.map((name) => column(name)[row]), ...(tiles.size ? tiles.get(row) || ["", ""] : []), column(one === failed ? "error" : "message")[row],
    ];
  }));
}

/** A step by which a slider can stand at a limit. */
const stepTo = (limit, step) => Math.min(step, 10 ** -(String(limit ?? "").split(".")[1] ?? "").length);

export function startThreshold() {
  let waiting = 0;
  const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(judge); };
  for (const [name, numbers] of limited) {
    const [slider, number] = [byId(`${name}-limit`), byId(`${name}-number`)];
    const [min, max] = numbers.bounds;
    // Without a limit all are kept.
    const start = name === "trust" || numbers.good === "high" ? min : max;
    const step = name === "value" ? stepTo(page.limit, numbers.step) : numbers.step;
    for (const input of [slider, number]) Object.assign(input, { min, max, step, value: name === "value" && page.limit !== null ? page.limit : start });
    slider.addEventListener("input", () => { number.value = slider.value; soon(); });
    number.addEventListener("input", () => { if (number.value !== "") { slider.value = number.value; soon(); } });
    number.addEventListener("change", () => { number.value = slider.value; });
  }
  for (const one of choices) byId(`drop-${one.key}`).addEventListener("change", soon);
  document.querySelector(".limits").addEventListener("submit", (event) => event.preventDefault());
  byId("save-kept").addEventListener("click", () => saveList("kept.csv", kept));
  byId("save-retake")?.addEventListener("click", saveRetake);
  for (const button of document.querySelectorAll("[data-cause]")) {
    const pair = [button.dataset.cause, button.dataset.action];
    const rows = shown.filter((row) => page.causes.every((name, at) => column(name)[row] === pair[at]));
    rows.sort((one, other) => value.badness(other) - value.badness(one) || one - other);
    button.addEventListener("click", () => openGallery(capital(pair.filter(Boolean).join(" → ")), rows));
  }
  for (const id of ["save-rejected", "save-rejected-now"]) byId(id).addEventListener("click", () => saveList("rejected.csv", rejected));
  judge();
}
