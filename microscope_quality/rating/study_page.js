const TOKEN = location.pathname.startsWith("/t/") ? location.pathname.slice(3) : "";
const CHOICES = ["left", "right", "equivalent", "discard"];
const SHEETS = ["code", "welcome", "trial", "finished"];
const PAN = 120;
const KEYED = { 1: "left", a: "left", 2: "right", b: "right", 3: "equivalent", e: "equivalent", 0: "discard", d: "discard" };

const zoomWords = (zoom, isFitted) => `${(100 * zoom).toFixed(zoom < 0.1 ? 1 : 0)} %${isFitted ? " · all of it" : ""}`;
const viewer = new Viewer(byId("view"), 512, (zoom, isFitted) => {
  byId("zoom").textContent = zoomWords(zoom, isFitted);
});

// The trial that is shown; null while none is, so that a second press is not taken for the next one.
let trial = null;
let shownAt = 0;
let hiddenSince = 0;
let total = 0;

function showSheet(name) {
  for (const sheet of SHEETS) byId(sheet).hidden = sheet !== name;
  byId("place").parentElement.hidden = name === "code";
}

const times = (number) => (number === 1 ? "once" : `${number.toLocaleString("en")} times`);

function showProgress(told) {
  total = told.total;
  byId("who").textContent = told.tester;
  byId("progress").value = total ? told.done / total : 1;
  byId("progress").textContent = `${told.done} of ${total}`;
  byId("place").textContent = told.number ? `${told.number} of ${total}` : `${told.done} of ${total}`;
}

const asked = (what, number, more) => `/${what}?${new URLSearchParams({ tester: TOKEN, number, ...more })}`;
const sizeOf = (number) => ask(asked("size", number));

// Done when the image is drawn; gives why it cannot be.
async function showImage({ number, tile }) {
  let trouble = "";
  viewer.side = tile;
  try {
    const { height, width } = await sizeOf(number);
    await viewer.show(height, width, async (level, row, column) => {
      try {
        return await askForPicture(asked("tile", number, { level, row, column }));
      } catch (error) {
        // A part of it that cannot be read would be asked for again and again.
        trouble = error.message;
        viewer.clear();
        throw error;
      }
    });
  } catch (error) {
    trouble = error.message;
    viewer.clear();
  }
  return trouble;
}

async function go(number) {
  trial = null;
  delete byId("trial").dataset.number;
  for (const choice of CHOICES) byId(choice).disabled = true;
  try {
    const told = await ask(number ? asked("trial", number) : `/trial?tester=${TOKEN}`);
    showProgress(told);
    if (told.number === null) {
      byId("finished-many").textContent = `${told.total.toLocaleString("en")} answers`;
      showSheet("finished");
      byId("look-again").focus();
      return;
    }
    showSheet("trial");
    byId("trial").classList.add("waiting");
    const trouble = await showImage(told);
    byId("trial").classList.remove("waiting");
    byId("unseen-image").textContent = trouble;
    byId("unseen-image").hidden = !trouble;
    byId("zooms").hidden = Boolean(trouble);
    byId("view").setAttribute("aria-label", `Image ${told.number} of ${told.total}`);
    showTrial(told, Boolean(trouble));
    // The next one is opened while this one is looked at; what is wrong with it is told later.
    if (told.number < told.total) sizeOf(told.number + 1).catch(() => {});
  } catch (error) {
    tellTrouble(error.message);
  }
}

function showTrial(told, unseen) {
  const same = told.left === told.right;
  byId("left-score").textContent = told.left;
  byId("right-score").textContent = told.right;
  byId("same").hidden = !same || unseen;
  for (const choice of CHOICES) {
    const button = byId(choice);
    button.disabled = (same && (choice === "left" || choice === "right")) || (unseen && choice !== "discard");
    button.setAttribute("aria-pressed", String(told.pressed === choice));
  }
  byId("back").disabled = told.number === 1;
  byId("forward").disabled = told.number > told.done;
  byId("trial").dataset.number = told.number;
  shownAt = performance.now();
  trial = told;
}

async function answer(pressed) {
  const given = trial;
  if (!given || byId(pressed).disabled) return;
  trial = null;
  for (const choice of CHOICES) byId(choice).setAttribute("aria-pressed", String(choice === pressed));
  const again = given.pressed === pressed;
  const content = {
    tester: TOKEN, number: given.number, pressed,
    seconds: (performance.now() - shownAt) / 1000,
    revision: again ? given.revision : given.revision + 1,
  };
  try {
    if (!again) await tell("/answer", content);
    await go(given.number < given.done + 1 && given.number < given.total ? given.number + 1 : 0);
  } catch (error) {
    await go(0);
    tellTrouble(error.message);
  }
}

for (const choice of CHOICES) byId(choice).addEventListener("click", () => answer(choice));
const back = () => trial && trial.number > 1 && go(trial.number - 1);
const forward = () => trial && trial.number <= trial.done && go(trial.number < trial.total ? trial.number + 1 : 0);
byId("back").addEventListener("click", back);
byId("forward").addEventListener("click", forward);
byId("begin").addEventListener("click", () => go(0));
byId("look-again").addEventListener("click", () => go(total));
byId("in").addEventListener("click", () => viewer.step(1));
byId("out").addEventListener("click", () => viewer.step(-1));
byId("zoom").addEventListener("click", () => viewer.toggle());
byId("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/t/${encodeURIComponent(byId("code-text").value.trim().toLowerCase())}`);
});

// Time that the page was not looked at is no time of the answer.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else shownAt += performance.now() - hiddenSince;
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (byId("trial").hidden) {
    if (event.key === "Enter" && !byId("welcome").hidden && event.target !== byId("begin")) byId("begin").click();
    return;
  }
  const pans = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.shiftKey && pans[key]) viewer.pan(...pans[key].map((way) => way * PAN));
  else if (KEYED[key]) { if (!event.repeat) answer(KEYED[key]); }
  else if (key === "Backspace" || key === "ArrowLeft") { if (!event.repeat) back(); }
  else if (key === "ArrowRight") { if (!event.repeat) forward(); }
  else if (key === "z") viewer.toggle();
  else if (key === "+" || key === "=") viewer.step(1);
  else if (key === "-") viewer.step(-1);
  else return;
  event.preventDefault();
});

async function begin() {
  if (!TOKEN) {
    showSheet("code");
    byId("code-text").focus();
    return;
  }
  try {
    const told = await ask(`/trial?tester=${TOKEN}`);
    showProgress(told);
    if (told.done || told.number === null) {
      await go(0);
      return;
    }
    byId("how-many").textContent = times(told.total);
    byId("place").textContent = "";
    showSheet("welcome");
    byId("begin").focus();
  } catch (error) {
    showSheet("code");
    tellTrouble(error.message);
  }
}
begin();
