export const byId = (id) => document.getElementById(id);

/** An element; texts go in as text, never as markup. */
export function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A name that may be broken after its separators before it is broken elsewhere. */
export const breakable = (text) => text.match(/[^_.\-/]*[_.\-/]|[^_.\-/]+/g)?.flatMap((part, number) => (number ? [element("wbr"), part] : [part])) || [];

export const announce = (text) => { byId("announce").textContent = text; };

/** Show some of many, and more of them whenever the button is pressed that is given. */
export function inParts(all, size, show, say) {
  const button = element("button", { type: "button" });
  let upTo = 0;
  const more = () => {
    const start = upTo;
    upTo += size;
    const left = Math.max(0, all.length - upTo);
    button.textContent = `Show ${Math.min(size, left)} more of ${say(left)}`;
    button.hidden = left <= 0;
    show(all.slice(start, upTo), start);
  };
  button.addEventListener("click", more);
  more();
  return button;
}
