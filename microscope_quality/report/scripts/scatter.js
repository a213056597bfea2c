// Charts of two columns against each other, which a measure asks for.
import { Chart, ink } from "./charts.js";
import { failed, numbersOf, page, shown, status } from "./data.js";
import { byId } from "./elements.js";
import { marksOf } from "./marks.js";

function drawScatter(chart, number) {
  const [xs, ys] = [numbersOf(chart.x), numbersOf(chart.y)];
  const labels = [chart.x, chart.y].map((name) => page.described.find((one) => one.name === name)?.words.toLowerCase() || name).map((words) => (words.includes(" of ") ? words : `${words} of the image`));
  return (width) => {
    const rows = shown.filter((row) => status[row] !== failed && !Number.isNaN(xs[row]) && !Number.isNaN(ys[row]));
    const drawn = marksOf(rows, (row) => xs[row], (row) => ys[row], [[0, 0], [1, 1]], `thinned-${number}`);
    for (const trace of drawn.data) trace.visible = trace.x.length > 0;
    const { cut } = chart;
    const small = width < 420;
    const across = [-0.02, 1.02];
    const upwards = [-0.21, 1.23];
    const within = (x, y) => rows.filter((row) => (xs[row] >= cut) === Boolean(x) && (ys[row] >= cut) === Boolean(y));
    const line = ([x0, x1], [y0, y1]) => ({ type: "line", layer: "below", xref: "x", yref: "y", x0, x1, y0, y1, line: { color: ink().soft, width: 1.5, dash: "dash" } });
    return {
      ...drawn,
      layout: {
        height: small ? 420 : 400, margin: { l: 48, r: 10, t: 8, b: 70 },
        xaxis: { range: across, title: { text: labels[0], standoff: 4 } },
        yaxis: { range: upwards, tickvals: [0, 0.2, 0.4, 0.6, 0.8, 1], title: { text: labels[1], standoff: 4 } },
        shapes: [line([cut, cut], upwards), line(across, [cut, cut])],
        annotations: [[0, 0], [0, 1], [1, 0], [1, 1]].map(([x, y], corner) => ({
          xref: "x", yref: "paper", x: across[x], y, xanchor: x ? "right" : "left", yanchor: y ? "top" : "bottom", align: x ? "right" : "left", showarrow: false,
          text: `<b>${within(x, y).length.toLocaleString("en")}</b> ${chart.corners[corner].replaceAll("|", "<br>")}`,
          font: { size: small ? 11 : 12 }, bgcolor: ink().card, borderpad: 2,
        })),
        showlegend: true, legend: { orientation: "h", x: 0, y: -0.22, font: { size: 12 }, itemclick: false, itemdoubleclick: false },
      },
    };
  };
}

export const startScatter = () => page.charts.forEach((chart, number) => new Chart(byId(`plot-chart-${number}`), drawScatter(chart, number)));
