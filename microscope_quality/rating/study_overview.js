const CONDUCTOR = location.pathname.slice(3);
const PERIOD = 2000;
const rows = new Map();

function rowOf(tester) {
  const item = made("li");
  const first = made("div", "first");
  first.append(made("span", "name", tester.name), made("span", "done"));
  const bar = made("progress");
  bar.setAttribute("aria-label", `Answers of ${tester.name}`);
  const link = made("div", "link");
  const anchor = made("a", "", tester.link);
  anchor.href = tester.link;
  const copy = made("button", "", "Copy link");
  copy.setAttribute("aria-label", `Copy the link of ${tester.name}`);
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(tester.link);
      copy.textContent = "Copied";
    } catch {
      // Not every browser lets a page of another computer do that.
      getSelection().selectAllChildren(anchor);
      copy.textContent = "Selected: copy it";
    }
    setTimeout(() => { copy.textContent = "Copy link"; }, 2500);
  });
  link.append(anchor, copy);
  item.append(first, bar, link);
  byId("testers").append(item);
  rows.set(tester.name, item);
  return item;
}

function show(told) {
  byId("prediction").textContent = told.prediction;
  byId("target").textContent = told.target;
  byId("about").textContent = `${told.images.toLocaleString("en")} image${told.images === 1 ? "" : "s"}. Answers are kept in ${told.folder}.`;
  byId("alone").hidden = told.is_open;
  byId("none").hidden = told.testers.length > 0;
  for (const tester of told.testers) {
    const item = rows.get(tester.name) || rowOf(tester);
    const all = tester.done === tester.total;
    item.classList.toggle("all", all);
    item.querySelector(".done").textContent = all ? `✓ all ${tester.total} answered` : `${tester.done} of ${tester.total} answered`;
    item.querySelector("progress").max = tester.total;
    item.querySelector("progress").value = tester.done;
  }
}

async function refresh() {
  show(await ask(`/progress?conductor=${CONDUCTOR}`));
}

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("refused").textContent = "";
  try {
    await tell("/tester", { conductor: CONDUCTOR, name: byId("name").value });
    byId("name").value = "";
    await refresh();
  } catch (error) {
    byId("refused").textContent = error.message;
  }
});
byId("results").href = `/results?conductor=${CONDUCTOR}`;
byId("measures").href = `/measures.csv?conductor=${CONDUCTOR}`;

(async () => {
  try {
    for (;;) {
      await refresh();
      await pause(PERIOD);
    }
  } catch (error) {
    tellTrouble(error.message);
  }
})();
