// Curves of z-stacks.
import { HOVER, addChart, ink, wholeSteps } from "./charts.js";
import { column, failed, files, page, shown, stacks, status, statuses } from "./data.js";
import { byId, element, inParts } from "./elements.js";
import { chosen, isKnown, numberOf, onChoice, value } from "./numbers.js";
import { count, named, place, plain, verdict } from "./text.js";

const z = column("z");

function drawStack(stack) {
  return () => {
    const choice = chosen();
    const { bins } = choice.scale;
    const planes = stack.rows.filter((row) => status[row] !== failed);
    const items = planes.map((row) => ({ x: Number(z[row]), y: isKnown(row) ? numberOf(row) : choice.range[0], title: named(row), say: `z ${z[row]}: ${verdict(row)}`, rows: [row] }));
    const best = shown[stack.image];
    const data = [{
      type: "scatter", mode: "lines+markers", x: items.map((item) => item.x), y: planes.map((row) => (isKnown(row) ? numberOf(row) : null)), customdata: planes.map((_, at) => at),
      hovertext: items.map((item) => item.say), hovertemplate: HOVER,
      line: { color: ink().soft, width: 1.5 }, marker: { size: 8, color: planes.map((row) => (isKnown(row) ? choice.colour(numberOf(row)) : ink().soft)), line: { color: ink().soft, width: 1 } },
    }];
    if (stack.best !== "") data.push({ type: "scatter", mode: "markers", x: [Number(z[best])], y: [numberOf(best)], customdata: [planes.indexOf(best)], hovertext: [`best plane: z ${z[best]}`], hovertemplate: HOVER, marker: { symbol: "star", size: 17, color: ink().ink, line: { color: ink().card, width: 1.5 } } });
    return { items, data, layout: { margin: { l: 34, r: 8, t: 6, b: 34 }, xaxis: { title: { text: "z", standoff: 2 }, tickformat: "d", ...wholeSteps(planes.length) }, yaxis: { range: [choice.at(-0.06), choice.at(1.05)], ...(bins ? { dtick: Math.floor(bins / 2) } : {}) } } };
  };
}

export function startStacks() {
  const home = byId("stack-figures");
  if (!home) return;
  const badness = (stack) => value.badness(shown[stack.image]) || 0;
  const order = [...stacks].sort((one, other) => (one.best !== "") - (other.best !== "") || badness(other) - badness(one));
  const add = (some) => some.forEach((stack) => {
    const best = shown[stack.image];
    const said = stack.best === "" ? `${status[best].sign} ${status[best].judged ? `no ${page.limit === null ? "best plane" : `plane ${statuses[0].words}`}` : status[best].words}` : `best: z ${z[best]}${stack.best.includes(".") ? `, between planes at ${Number(stack.best).toFixed(1)}` : ""}`;
    const name = element("bdi", {}, `${plain(files[best])} ${place(best, ["c", "t"])}`.trim());
    addChart(home, name, `Planes of ${named(best)}`, drawStack(stack), element("figcaption", {}, said));
  });
  byId("more-stacks").append(inParts(order, 12, add, (left) => count(left, "z-stack")));
  onChoice(() => { byId("stacks-value").textContent = `${chosen().words} of each plane`; });
}
