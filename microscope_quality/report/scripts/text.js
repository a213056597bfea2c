// How numbers and names are written, and what is said of a row.
import { column, files, near, status, statuses } from "./data.js";

export const count = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
export const images = (rows) => count(rows.length, "image");
export const countsOf = (rows) => statuses.map((one) => [rows.filter((row) => status[row] === one).length, one.words]).filter(([number]) => number).map(([number, words]) => `${number.toLocaleString("en")} ${words}`).join(", ");
export const capital = (text) => text[0].toUpperCase() + text.slice(1);
/** A mean or an extreme of what may be one itself: "mean of mean intensity". */
export const overall = (kind, label) => `${kind} ${["highest", "lowest", kind].includes(label.split(" ")[0]) ? "of " : ""}${label}`;
export const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
// Plotly takes some tags in its texts.
export const escaped = (text) => plain(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
export const short = (text, room) => (text.length <= room ? text : `${text.slice(0, Math.floor(room / 3))}…${text.slice(text.length - (room - Math.floor(room / 3) - 1))}`);
/** A number as the tables and the command line round it: to the even digit where two are as near. */
export function fixed(value, digits) {
  if (Number.isNaN(value)) return "–";
  const between = value * 10 ** digits;
  const isTie = Math.abs(between % 1) === 0.5 && (value * 2 ** (digits + 1)) % 1 === 0;
  return (isTie ? (2 * Math.round(between / 2)) / 10 ** digits : value).toFixed(digits);
}

const FIELD = /\{(\w+)(?::(\d))?\}/g;
const fieldsOf = (templates) => templates.flatMap((template) => Array.from(template.matchAll(FIELD), ([, name]) => name));
/** A template with the numbers and texts of a row; empty where one is missing. */
export function filled(template, row) {
  if (fieldsOf([template]).some((name) => column(name)[row] === "")) return "";
  return template.replace(FIELD, (_, name, digits) => (digits ? fixed(Number(column(name)[row]), Number(digits)) : column(name)[row]));
}
export const verdict = (row) => [status[row].words, ...status[row].templates.map((template) => filled(template, row)), near(row)].filter(Boolean).join(", ");

export const PLANE = { series: "series ", z: "z", c: "c", t: "t" };
export const place = (row, axes = Object.keys(PLANE)) => axes.filter((name) => column(name)[row] !== "").map((name) => PLANE[name] + column(name)[row]).join(" ");
export const named = (row) => plain(`${files[row]} ${place(row)}`.trim());
