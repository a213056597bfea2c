"use strict";
// All that comes from files or people is put on a page as text, never as markup.

const byId = (id) => document.getElementById(id);
const made = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

// A sentence that needs to be seen; an empty one takes it away.
function tellTrouble(sentence) {
  const banner = byId("banner");
  if (banner.textContent !== sentence) banner.textContent = sentence;
  banner.hidden = !sentence;
}

const REFUSED = "The program refuses this page: open it at the address that the program tells.";
const SILENT = "The program that shows this page does not answer. Leave this page open: it goes on by itself when the program is started again.";
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
let token = "";

async function freshToken() {
  token = (await (await fetch("/token", { cache: "no-store" })).json()).token;
}

// What went wrong on the other side, as a sentence of it.
class Refusal extends Error {}

// Ask again until there is an answer: a program may be killed and started again, a disk may be full.
async function insist(send) {
  let tokens = 0;
  for (let wait = 250; ; wait = Math.min(wait * 1.5, 3000)) {
    let trouble = SILENT;
    try {
      const answer = await send();
      if (answer.ok) {
        tellTrouble("");
        return answer;
      }
      if (answer.status === 403) {
        // The token may be that of a program that was started again.
        token = "";
        tokens += 1;
        if (tokens === 1) continue;
        throw new Refusal(REFUSED);
      }
      const said = answer.headers.get("Content-Type") === "application/json" ? (await answer.json()).error : answer.statusText;
      if (answer.status !== 503) throw new Refusal(said);
      trouble = `${said}. It is tried again until it works.`;
    } catch (error) {
      if (error instanceof Refusal) throw error;
    }
    tellTrouble(trouble);
    await pause(wait);
  }
}

// GET: what JSON holds.
async function ask(path) {
  return (await insist(() => fetch(path, { cache: "no-store" }))).json();
}

// GET: an image, as a Blob.
async function askForPicture(path) {
  return (await insist(() => fetch(path, { cache: "no-store" }))).blob();
}

// POST an object, and give what JSON comes back.
async function tell(path, content) {
  const answer = await insist(async () => {
    if (!token) await freshToken();
    return fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Token": token },
      body: JSON.stringify(content),
    });
  });
  return answer.json();
}
