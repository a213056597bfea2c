// What to colour and to sort by.
import { redraw } from "./charts.js";
import { byId, element } from "./elements.js";
import { choices, choose, chosen, onChoice } from "./numbers.js";

function showScale() {
  const { range, scale } = chosen();
  const ends = range.map((number, end) => `${chosen().brief(number).replace(/\.0+$/, "")} ${scale.ends[end]}`);
  byId("scale").replaceChildren(ends[0], element("i", {}), ends[1]);
  byId("scale").querySelector("i").style.background = `linear-gradient(90deg, ${scale.colours.join(", ")})`;
}

export function startChoice() {
  const select = byId("choice");
  // Whole numbers are not what images are judged by.
  select.append(...choices.filter((one) => one.isValue || one.kind !== "integer").map((one) => element("option", { value: one.name, selected: one === chosen() }, one.words)));
  select.addEventListener("change", () => { choose(select.value); redraw(); });
  onChoice(showScale);
}
