import { drawAbove, onPaper, redraw, setPaper } from "./charts.js";
import { startChoice } from "./choice.js";
import { startCourse } from "./course.js";
import { startDistribution } from "./distribution.js";
import { startDrift } from "./drift.js";
import { startGroups } from "./groups.js";
import { startWorst } from "./images.js";
import { startMontage } from "./montage.js";
import { startPlates } from "./plates.js";
import { startScatter } from "./scatter.js";
import { startStacks } from "./stacks.js";
import { fillTable, startTable } from "./table.js";
import { startThreshold } from "./threshold.js";
import { startTiles } from "./tiles.js";

for (const start of [startWorst, startThreshold, startChoice, startDistribution, startScatter, startTiles, startPlates, startGroups, startCourse, startDrift, startStacks, startMontage, startTable]) start();

for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => {
    setPaper(printing);
    fillTable();
  });
}
let lastWidth = window.innerWidth;
let resized = 0;
window.addEventListener("resize", () => {
  if (onPaper() || window.innerWidth === lastWidth) return;
  lastWidth = window.innerWidth;
  clearTimeout(resized);
  resized = setTimeout(() => { redraw(); fillTable(); }, 150);
});
// Before the browser goes there.
for (const link of document.querySelectorAll("main a[href^='#'], nav a")) link.addEventListener("click", () => drawAbove(document.querySelector(link.hash)));
for (const link of document.querySelectorAll("nav a")) link.parentElement.hidden = document.querySelector(link.getAttribute("href")).hidden;
document.documentElement.dataset.ready = "yes";
