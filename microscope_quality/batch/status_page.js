"use strict";
// All that comes from the watch is put on the page as text, never as markup.

const byId = (id) => document.getElementById(id);
const made = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const two = (number) => String(number).padStart(2, "0");
// As the terminal has it; of another day with the day, and nothing for what is no time.
const clockTime = (moment) => {
  const at = new Date(moment);
  if (Number.isNaN(at.getTime())) return "";
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  if (at.toDateString() === new Date().toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
};
const many = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

const PERIOD = 1000;
const PATIENCE = 1500;
let lastAnswer = Date.now();
let chosen = null;
let state = null;
let newestSeen = null;
const rows = new Map();

function stale(message) {
  const banner = byId("banner");
  if (banner.textContent !== message) banner.textContent = message;
  banner.hidden = !message;
  byId("pulse").classList.toggle("stale", Boolean(message));
}

function isDark(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 120;
}

function showCounts() {
  const box = byId("counts");
  for (const kind of state.kinds) {
    let button = box.querySelector(`[data-kind="${CSS.escape(kind.key)}"]`);
    if (!button) {
      button = made("button");
      button.dataset.kind = kind.key;
      button.style.setProperty("--kind", kind.colour);
      button.append(made("strong"), made("span", "", `${kind.sign} ${kind.words}`));
      button.addEventListener("click", () => {
        chosen = chosen === kind.key ? null : kind.key;
        showCounts();
        showCards();
      });
      box.append(button);
    }
    button.firstChild.textContent = (state.counts[kind.key] || 0).toLocaleString("en");
    button.hidden = kind.is_rare && !state.counts[kind.key];
    button.setAttribute("aria-pressed", String(chosen === kind.key));
  }
}

function showFacts() {
  const last = state.minutes[state.minutes.length - 1] + state.minutes[state.minutes.length - 2];
  const parts = [];
  if (state.at_work) parts.push(`${state.at_work} being measured`);
  if (state.waiting) parts.push(`${many(state.waiting, "file")} waiting`);
  if (state.stacks) parts.push(state.stacks);
  if (!state.at_work && !state.waiting && !state.stacks && state.waiting !== undefined) parts.push("up to date");
  parts.push(`${many(last, "image")} in the last two minutes`);
  byId("facts").textContent = parts.join(" · ");
  byId("retried").textContent = state.retried || "";
  byId("retried").hidden = !state.retried;
  const rate = byId("rate");
  const most = Math.max(...state.minutes);
  byId("rate-box").hidden = most === 0;
  rate.setAttribute("aria-label", `Images a minute over the last ${state.minutes.length} minutes: at most ${most}, now ${last / 2}`);
  rate.title = `Images a minute over the last ${state.minutes.length} minutes, at most ${most}`;
  while (rate.children.length < state.minutes.length) rate.append(made("i"));
  state.minutes.forEach((number, k) => { rate.children[k].style.height = `${(100 * number) / Math.max(most, 1)}%`; });
}

function showScale() {
  const scale = byId("scale");
  if (!scale.hidden || !state.scale.colours.length) return;
  byId("scale-from").textContent = state.scale.from;
  byId("scale-to").textContent = state.scale.to;
  for (const colour of state.scale.colours) {
    const block = made("i");
    block.style.background = colour;
    byId("scale-colours").append(block);
  }
  scale.hidden = false;
}

function showAlerts() {
  const alerts = state.alerts || [];
  byId("alerts").hidden = alerts.length === 0;
  const list = byId("alert-list");
  const key = JSON.stringify(alerts);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...alerts.map((alert) => {
    const item = made("li");
    item.append(made("time", "", clockTime(alert.time)), ` ${alert.reason}`);
    return item;
  }));
  byId("alerts-title").textContent = `Alerts (${(state.alert_number || alerts.length).toLocaleString("en")})`;
}

function enlarge(card, kind) {
  byId("large-name").textContent = card.name;
  const picture = byId("large-picture");
  picture.src = `picture/${card.id}`;
  picture.alt = `Picture of ${card.name}`;
  byId("large-detail").textContent = [kind.words, card.title && `${state.noun} ${card.title}`.trim(), card.more, card.detail, card.alert].filter(Boolean).join(" · ");
  byId("large").showModal();
}

function cardOf(card) {
  const kind = state.kinds.find((one) => one.key === card.kind) || { words: card.kind, sign: "" };
  const item = made("li", card.alert ? "alerted" : "");
  item.dataset.kind = card.kind;
  item.dataset.picture = String(card.picture);
  if (card.picture) {
    const look = made("button", "look");
    look.setAttribute("aria-label", `Enlarge ${card.name}`);
    const picture = made("img");
    picture.src = `picture/${card.id}`;
    picture.alt = "";
    picture.loading = "lazy";
    look.append(picture);
    look.addEventListener("click", () => enlarge(card, kind));
    item.append(look);
  } else {
    item.append(made("div", "look", card.old ? "no picture since the restart" : "no picture"));
  }
  const about = made("div", "about");
  const verdict = made("p", "verdict");
  if (card.title) {
    const chip = made("span", "chip", card.title);
    if (card.colour) {
      chip.style.setProperty("--number", card.colour);
      chip.classList.toggle("dark", isDark(card.colour));
    }
    chip.title = state.noun;
    verdict.append(chip);
  }
  verdict.append(made("span", "", `${kind.sign} ${kind.words}`));
  about.append(verdict, made("p", "name", card.name));
  if (card.detail) about.append(made("p", "detail", card.detail));
  if (card.alert) {
    const why = made("p", "why", "▲ alert");
    why.title = card.alert;
    about.append(why);
  }
  about.append(made("time", "detail", clockTime(card.time)));
  item.append(about);
  return item;
}

function showCards() {
  const list = byId("newest");
  const wanted = state.cards.filter((card) => chosen === null || card.kind === chosen);
  const ids = new Set(wanted.map((card) => card.id));
  for (const [id, item] of rows) {
    if (!ids.has(id)) {
      item.remove();
      rows.delete(id);
    }
  }
  wanted.forEach((card, place) => {
    let item = rows.get(card.id);
    if (item && item.dataset.picture !== String(card.picture)) {
      const drawn = cardOf(card);
      item.replaceWith(drawn);
      rows.set(card.id, drawn);
      item = drawn;
    }
    if (!item) {
      item = cardOf(card);
      if (newestSeen !== null && card.id > newestSeen) item.classList.add("fresh");
      rows.set(card.id, item);
    }
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
  });
  if (state.cards.length) newestSeen = Math.max(newestSeen || 0, state.cards[0].id);
  else newestSeen = newestSeen || 0;
  const none = byId("none");
  none.hidden = wanted.length > 0;
  none.textContent = state.cards.length ? "None of the newest images." : "Waiting for the first image.";
  const kind = state.kinds.find((one) => one.key === chosen);
  byId("newest-title").textContent = kind ? `Newest images: only ${kind.words}` : "Newest images";
}

function show() {
  byId("title").textContent = state.title;
  const number = state.alert_number || 0;
  document.title = `${number ? `(${number}) ` : ""}${state.title} – watching`;
  byId("pulse-words").textContent = state.ending ? "ending" : state.quiet_seconds > 20 ? "no sign of life" : "alive";
  showCounts();
  showFacts();
  showScale();
  showAlerts();
  showCards();
}

async function ask() {
  try {
    const answer = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    state = await answer.json();
    lastAnswer = Date.now();
    show();
    if (state.quiet_seconds > 20) {
      stale(`The watch has given no sign of life for ${Math.round(state.quiet_seconds)} seconds; perhaps the drive does not answer.`);
    } else {
      stale(state.trouble || "");
    }
  } catch (error) {
    if ((state && state.ending) || Date.now() - lastAnswer > PATIENCE) {
      byId("pulse-words").textContent = "stopped";
      stale(`The watch has stopped or cannot be reached. What is shown is as of ${clockTime(lastAnswer)}.`);
    }
  }
  setTimeout(ask, PERIOD);
}

ask();
