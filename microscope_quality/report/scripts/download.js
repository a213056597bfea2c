// Tables that the reader saves.
import { announce, element } from "./elements.js";
import { count } from "./text.js";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
/** A field of a table after RFC 4180. An apostrophe keeps a spreadsheet from running it. */
function field(text) {
  const guarded = /^[=+\-@\t\r\n'＝＋－＠]/.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(guarded) ? `"${guarded.replace(/"/g, '""')}"` : guarded;
}
export function save(name, names, rows) {
  const lines = [names, ...rows].map((row) => row.map(field).join(",") + "\r\n");
  const link = element("a", { href: URL.createObjectURL(new Blob(lines, { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  announce(`${name} saved with ${count(rows.length, "row")}`);
}
