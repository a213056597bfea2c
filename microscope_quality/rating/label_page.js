const main = document.querySelector("main");
let state = null;
let rater = "";
let asked = null;
// Whether the image is drawn and no score is on its way: only then does a key count.
let isOpen = false;
let opened = 0;
let since = 0;
let hiddenSince = 0;
let awayFor = 0;

const zoomWords = (zoom, isFitted) => (zoom >= 1 ? `${100 * zoom} %` : `${(100 * zoom).toFixed(zoom < 0.1 ? 1 : 0)} %`) + (isFitted ? " · all of it" : "");
const viewer = new Viewer(byId("view"), 512, (zoom, isFitted) => {
  byId("zoom").textContent = zoomWords(zoom, isFitted);
});

// How far the page is stands on it too, for whoever drives it.
function setOpen(open) {
  isOpen = open;
  main.classList.toggle("waiting", !open);
  if (open) main.dataset.open = String(++opened);
  else delete main.dataset.open;
}

const question = () => asked && asked.question;
const isBack = () => question() !== null && question().at >= 0;

for (let k = 1; k <= 10; k++) {
  const score = (k / 10).toFixed(1);
  const button = made("button");
  button.type = "button";
  button.style.setProperty("--score", score);
  button.dataset.score = score;
  button.append(made("span", "", score), made("kbd", "", String(k % 10)));
  button.setAttribute("aria-label", `Score ${score}, key ${k % 10}`);
  button.addEventListener("click", () => give(k / 10));
  byId("scores").append(button);
}

function showProgress() {
  const { answered, total } = asked;
  byId("progress").max = Math.max(total, 1);
  byId("progress").value = answered;
  const words = isBack() ? `back at ${question().at + 1} · ${answered} of ${total} done` : `${answered} of ${total} done`;
  byId("progress-words").textContent = words;
  byId("whose").textContent = rater;
  byId("whose").title = state.rater ? "Who scores" : "Let another one score";
  byId("whose").disabled = Boolean(state.rater);
  byId("whose").hidden = false;
  const missing = asked.unreadable;
  const box = byId("unreadable");
  box.hidden = missing.length === 0;
  const many = missing.length === 1 ? "1 image cannot be shown and is left out" : `${missing.length} images cannot be shown and are left out`;
  if (box.querySelector("summary").textContent !== many) {
    box.querySelector("summary").textContent = many;
    box.querySelector("ul").replaceChildren(...missing.map((one) => made("li", "", `${one.image}: ${one.why}`)));
  }
}

function showGiven() {
  const given = question();
  for (const button of byId("scores").children) {
    button.disabled = !given;
    button.classList.remove("given");
    button.setAttribute("aria-pressed", String(Boolean(given) && given.score !== null && Math.abs(given.score - Number(button.dataset.score)) < 0.05));
  }
  byId("skip").disabled = !given;
  byId("skip").setAttribute("aria-pressed", String(Boolean(given) && given.is_skipped));
  byId("comment").disabled = !given;
  byId("comment").value = given ? given.comment : "";
  byId("back").disabled = isBack() ? given.at === 0 : asked.answered === 0;
  byId("forward").hidden = !isBack();
}

async function show(answer) {
  asked = answer;
  setOpen(false);
  showProgress();
  showGiven();
  const given = question();
  byId("over").hidden = Boolean(given);
  byId("zooms").hidden = !given;
  if (!given) {
    viewer.clear();
    main.classList.remove("waiting");
    main.dataset.open = "end";
    const { answered } = asked;
    byId("over-title").textContent = answered ? "That was the last one. Thank you." : "There is nothing to score.";
    byId("over-words").textContent = answered ? `All ${answered} answers are in ${state.table}. This page can be closed.` : "None of the images can be shown.";
    byId("spoken").textContent = byId("over-title").textContent;
    return;
  }
  const { image, y, x, height, width } = given;
  const part = new URLSearchParams({ image, y: y ?? 0, x: x ?? 0, height, width });
  await viewer.show(height, width, (level, row, column) => {
    const path = new URLSearchParams(part);
    path.set("level", level);
    path.set("row", row);
    path.set("column", column);
    return askForPicture(`/tile?${path}`);
  });
  if (asked !== answer) return;
  byId("spoken").textContent = isBack() ? `Image ${given.at + 1}, scored before` : `Image ${asked.answered + 1} of ${asked.total}`;
  since = performance.now();
  awayFor = 0;
  setOpen(true);
}

async function give(score) {
  if (!isOpen || !question()) return;
  setOpen(false);
  const { image, y, x, size, repeat } = question();
  const seconds = Math.max(0, (performance.now() - since - awayFor) / 1000);
  const pressed = [...byId("scores").children].find((button) => score !== null && Number(button.dataset.score) === score) || byId("skip");
  pressed.classList.add("given");
  const said = { rater, image, y, x, size, repeat, score, comment: byId("comment").value, seconds };
  byId("comment").blur();
  try {
    const next = await tell("/score", said);
    // From an earlier one the way goes on through those behind it.
    const at = question().at + 1;
    await show(isBack() && at < next.answered ? await asAnswered(at) : next);
  } catch (error) {
    tellTrouble(error.message);
    setOpen(true);
  } finally {
    pressed.classList.remove("given");
  }
}

const nextOne = () => ask(`/question?${new URLSearchParams({ rater })}`);
const asAnswered = (at) => ask(`/question?${new URLSearchParams({ rater, at })}`);

async function go(direction) {
  if (!asked || (!isOpen && question())) return;
  const at = isBack() ? question().at + direction : asked.answered + direction;
  if (at < 0 || (!isBack() && direction > 0)) return;
  setOpen(false);
  try {
    tellTrouble("");
    await show(at < asked.answered ? await asAnswered(at) : await nextOne());
  } catch (error) {
    tellTrouble(error.message);
    setOpen(true);
  }
}

byId("back").addEventListener("click", () => go(-1));
byId("forward").addEventListener("click", () => go(1));
byId("skip").addEventListener("click", () => give(null));
byId("in").addEventListener("click", () => viewer.step(1));
byId("out").addEventListener("click", () => viewer.step(-1));
byId("zoom").addEventListener("click", () => viewer.toggle());
byId("note").addEventListener("submit", (event) => {
  event.preventDefault();
  document.activeElement.blur();
  // What is said of an image that has its score already is kept at once.
  const given = question();
  if (isBack() && byId("comment").value !== given.comment) give(given.is_skipped ? null : given.score);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else awayFor += performance.now() - hiddenSince;
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("who").open) return;
  if (event.target === byId("comment")) {
    if (event.key === "Escape") document.activeElement.blur();
    return;
  }
  const pans = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.shiftKey && pans[key]) viewer.pan(...pans[key].map((way) => way * 120));
  else if (/^[0-9]$/.test(key) && !event.repeat) give(key === "0" ? 1 : Number(key) / 10);
  else if (key === "s" && !event.repeat) give(null);
  else if ((key === "Backspace" || key === "ArrowLeft") && !event.repeat) go(-1);
  else if (key === "ArrowRight" && !event.repeat) go(1);
  else if (key === "c") byId("comment").focus();
  else if (key === "z") viewer.toggle();
  else if (key === "+" || key === "=") viewer.step(1);
  else if (key === "-") viewer.step(-1);
  else return;
  event.preventDefault();
});

// Who it is.

const KEPT = "microscope-quality rater";

async function become(name) {
  const answer = await ask(`/question?${new URLSearchParams({ rater: name })}`);
  rater = name.trim().split(/\s+/).join(" ");
  try { localStorage.setItem(KEPT, rater); } catch { /* A browser may keep nothing. */ }
  byId("who").close();
  document.activeElement.blur();
  await show(answer);
}

async function askWho() {
  state = await ask("/state");
  byId("name-trouble").textContent = "";
  byId("name").value = rater;
  byId("known").replaceChildren(...state.raters.map((one) => {
    const button = made("button", "", `${one.name} (${one.given})`);
    button.type = "button";
    button.setAttribute("aria-label", `Go on as ${one.name}, who gave ${one.given}`);
    button.addEventListener("click", () => become(one.name));
    return button;
  }));
  if (!byId("who").open) byId("who").showModal();
  byId("name").select();
}

byId("who").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await become(byId("name").value);
  } catch (error) {
    byId("name-trouble").textContent = error.message;
  }
});
// There is nothing to see before somebody is there.
byId("who").addEventListener("cancel", (event) => { if (!rater) event.preventDefault(); });
byId("whose").addEventListener("click", askWho);

async function begin() {
  state = await ask("/state");
  viewer.side = state.tile;
  const linked = new URLSearchParams(location.search).get("rater");
  let kept = "";
  try { kept = localStorage.getItem(KEPT) || ""; } catch { /* A browser may keep nothing. */ }
  rater = "";
  try {
    if (state.rater || linked) {
      await become(state.rater || linked);
      return;
    }
  } catch (error) {
    tellTrouble(error.message);
  }
  await askWho();
  byId("name").value = kept;
}

begin();
