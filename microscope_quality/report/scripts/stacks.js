// Curves of z-stacks.
import { HOVER, addChart, ink, wholeSteps } from "./charts.js";
import { column, failed, page, shown, stacks, status } from "./data.js";
import { breakable, byId, element, inParts } from "./elements.js";
import { chosen, isKnown, numberOf, onChoice, value } from "./numbers.js";
import { count, named, place, plain, verdict } from "./text.js";

const z = column("z");

function drawStack(stack) {
  return () => {
    const choice = chosen();
    const { bins } = choice.scale;
    const planes = stack.rows.filter((row) => status[row] !== failed);
    const items = planes.map((row) => ({ x: Number(z[row]), y: isKnown(row) ? numberOf(row) : choice.range[0], title: named(row), say: `z${z[row]}: ${verdict(row)}`, rows: [row] }));
    const best = shown[stack.image];
    if (!planes.some(isKnown)) {
      // Axes without a point in them would look like a chart that failed.
      const about = { text: "no plane has a number", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { size: 15, color: ink().soft } };
      return { items, data: [{ type: "scatter", mode: "markers", x: items.map((item) => item.x), y: planes.map(() => null) }], layout: { annotations: [about], margin: { l: 8, r: 8, t: 8, b: 8 }, xaxis: { visible: false }, yaxis: { visible: false, range: choice.range } } };
    }
    const data = [{
      type: "scatter", mode: "lines+markers", x: items.map((item) => item.x), y: planes.map((row) => (isKnown(row) ? numberOf(row) : null)), customdata: planes.map((_, at) => at),
      hovertext: items.map((item) => item.say), hovertemplate: HOVER,
      line: { color: ink().soft, width: 1.5 }, marker: { size: 8, color: planes.map((row) => (isKnown(row) ? choice.colour(numberOf(row)) : ink().soft)), line: { color: ink().soft, width: 1 } },
    }];
    if (stack.best !== "") data.push({ type: "scatter", mode: "markers", x: [Number(z[best])], y: [numberOf(best)], customdata: [planes.indexOf(best)], hovertext: [`best plane: z${z[best]}`], hovertemplate: HOVER, marker: { symbol: "star", size: 17, color: ink().ink, line: { color: ink().card, width: 1.5 } } });
    return { items, data, layout: { margin: { l: 34, r: 8, t: 6, b: 34 }, xaxis: { title: { text: "z", standoff: 2 }, tickformat: "d", ...wholeSteps(planes.length) }, yaxis: { range: [choice.at(-0.06), choice.at(1.05)], ...(bins ? { dtick: Math.floor(bins / 2) } : {}) } } };
  };
}

/** The verdict on a stack, and its best plane; with a place between planes where that is another. */
function said(stack) {
  const best = shown[stack.image];
  // Where nothing is bad, that one was measured is no news.
  const parts = page.limit === null && status[best].judged ? [] : [`${status[best].sign} ${status[best].words}`];
  const at = Number(stack.best).toFixed(1);
  if (stack.best !== "") parts.push(`best plane z${z[best]}${Number(at) === Number(z[best]) ? "" : `, between planes at z${at}`}`);
  else if (status[best].judged) parts.push("no best plane");
  return parts.join("; ");
}

/** Bad ones first, the worst in front; then good ones as the table has them; then those without a number. */
function inOrder() {
  const badness = (stack) => status[shown[stack.image]].badness;
  const part = (stack) => (badness(stack) > 1 ? 0 : status[shown[stack.image]].judged ? 1 : 2);
  const worse = (one, other) => badness(other) - badness(one) || (value.badness(shown[other.image]) || 0) - (value.badness(shown[one.image]) || 0);
  return [...stacks].sort((one, other) => part(one) - part(other) || (part(one) === 0 ? worse(one, other) : 0));
}

export function startStacks() {
  const home = byId("stack-figures");
  if (!home) return;
  const add = (some) => some.forEach((stack) => {
    const best = shown[stack.image];
    const name = plain(`${stack.name} ${place(best, ["series", "c", "t"])}`.trim());
    addChart(home, element("bdi", {}, ...breakable(name)), `Planes of ${name}`, drawStack(stack), element("figcaption", {}, said(stack)));
  });
  byId("more-stacks").append(inParts(inOrder(), 12, add, (left) => count(left, "z-stack")));
  onChoice(() => { byId("stacks-value").textContent = `${chosen().words} of each plane`; });
}
