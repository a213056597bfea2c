// The table of the page, its images, and what they are judged to be.
import { byId } from "./elements.js";

export const page = JSON.parse(byId("data").textContent);
const pictures = byId("pictures").textContent;

const decoded = new Map();
/** Texts of a column, as they stand in the table. */
export function column(name) {
  if (!decoded.has(name)) {
    const packed = page.columns.find((one) => one.name === name);
    let texts = [];
    const split = (value) => (Array.isArray(value) ? value : value.split("\n"));
    if (!packed) texts = new Array(page.rows).fill("");
    else if ("all" in packed) texts = new Array(page.rows).fill(packed.all);
    else if (packed.index) {
      const distinct = split(packed.texts);
      texts = packed.index.map((number) => distinct[number]);
    } else texts = split(packed.texts);
    decoded.set(name, texts);
  }
  return decoded.get(name);
}
export const has = (name) => page.columns.some((one) => one.name === name && one.all !== "");
export const numbersOf = (name) => Float64Array.from(column(name), (text) => (text === "" ? NaN : Number(text)));

export const error = column("error");
export const files = column("file");
export const statuses = page.statuses;
export const status = page.status.map((number) => statuses[number]);
/** Images whose verdict is in doubt, as their interval holds the limit. */
const doubtful = new Set(page.near);
export const near = (row) => (doubtful.has(row) ? "near the limit" : "");
export const isBad = (row) => status[row].judged && status[row].badness > 0;
/** Of images that could not be measured, that have no number in a column, and without content. */
export const failed = statuses[statuses.length - 1];
export const numberless = { ...failed, sign: "–", colour: "#8a8f98", words: "no number", hatch: "." };
export const empty = statuses.find((one) => one.badness === 1) || numberless;
/** Why an image that has no number in a column has none. */
export const reasonOf = (row) => (status[row].judged ? numberless : status[row]);
export const NO_NUMBER = [...new Set([...statuses.filter((one) => !one.judged), failed, numberless])];

/** What makes each image bad, or would, and what to do about it; by rows, where a measure tells it. */
export const remedyOf = new Map(page.remedies.index.map((pair, image) => [page.shown[image], page.remedies.pairs[pair]]));

// Each image is a row, or the rows of a z-stack with the one that stands for it.
export const shown = page.shown;
export const stacks = page.stacks;
export const stackOf = new Map(stacks.flatMap((stack) => stack.rows.map((row) => [row, stack])));

const pictureOf = new Int32Array(page.rows).fill(-1);
const starts = new Float64Array(page.pictures.length + 1);
page.pictures.forEach(([row, length], number) => {
  pictureOf[row] = number;
  starts[number + 1] = starts[number] + length;
});
/** Large pictures, of the worst. */
export const large = new Map(Array.from(document.querySelectorAll(".worst img[data-row]:not(.plain)"), (image) => [Number(image.dataset.row), image.src]));
export function source(row) {
  const number = pictureOf[row];
  if (number < 0) return large.get(row) || "";
  return "data:image/webp;base64," + pictures.slice(starts[number], starts[number + 1]);
}

/** Rows by what a function gives for them, in the order in which that comes first. */
export function grouped(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const own = key(row);
    if (!groups.has(own)) groups.set(own, []);
    groups.get(own).push(row);
  }
  return groups;
}
export const natural = new Intl.Collator("en", { numeric: true }).compare;
/** Different texts of the images in a column, but for empty ones. */
export const distinct = (texts) => [...new Set(shown.map((row) => texts[row]))].filter((text) => text !== "").sort(natural);
