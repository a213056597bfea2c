"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const page = JSON.parse(byId("data").textContent);
  const pictures = byId("pictures").textContent;

  // ---- the table -------------------------------------------------------------------------------

  const decoded = new Map();
  /** Texts of a column, as they stand in the table. */
  function column(name) {
    if (!decoded.has(name)) {
      const packed = page.columns.find((one) => one.name === name);
      let texts = [];
      const split = (value) => (Array.isArray(value) ? value : value.split("\n"));
      if (!packed) texts = new Array(page.rows).fill("");
      else if ("all" in packed) texts = new Array(page.rows).fill(packed.all);
      else if (packed.index) {
        const distinct = split(packed.texts);
        texts = packed.index.map((number) => distinct[number]);
      } else texts = split(packed.texts);
      decoded.set(name, texts);
    }
    return decoded.get(name);
  }
  const has = (name) => page.columns.some((one) => one.name === name && one.all !== "");
  const numbersOf = (name) => Float64Array.from(column(name), (text) => (text === "" ? NaN : Number(text)));

  const SIGNS = { in_focus: "●", out_of_focus: "○", mixed: "◐", no_content: "·", unreadable: "×" };
  const WORDS = { in_focus: "in focus", out_of_focus: "out of focus", mixed: "mixed", no_content: "no content", unreadable: "unreadable" };
  const STATUSES = Object.keys(WORDS);
  const HUES = { in_focus: "#3cbeff", out_of_focus: "#f89045", mixed: "#b24bbd", no_content: "#a6adb7", unreadable: "#5b6470" };
  const HATCHES = { in_focus: "", out_of_focus: "/", mixed: "x", no_content: ".", unreadable: "-" };
  const MARKS = { in_focus: "circle", out_of_focus: "circle-open", mixed: "diamond", no_content: "cross-thin-open", unreadable: "x-thin-open" };

  const error = column("error");
  const status = column("status").map((text, row) => (error[row] ? "unreadable" : text));
  const level = numbersOf("level");
  const expected = numbersOf("expected_level");
  const certainty = numbersOf("certainty");
  const meanCertainty = numbersOf("mean_certainty");
  const files = column("file");
  const CHANGED = {
    changed: "This image has changed since it was measured: its picture does not show what the numbers tell.",
    dated: "This image has another time than when it was measured: unless it was only copied, its picture does not show what the numbers tell.",
    missing: "This image is not there any more.",
  };
  const changes = new Map(Object.entries(page.changes).flatMap(([kind, rows]) => rows.map((row) => [row, kind])));
  const judged = (row) => status[row] !== "unreadable" && status[row] !== "no_content" && !Number.isNaN(expected[row]);

  // Each image is a row, or the rows of a z-stack with the one that stands for it.
  const shown = page.shown;
  const stacks = page.stacks;
  const stackOf = new Map();
  stacks.forEach((stack, number) => stack.rows.forEach((row) => stackOf.set(row, number)));
  const every = shown.map((_, image) => image);

  const pictureOf = new Int32Array(page.rows).fill(-1);
  const starts = new Float64Array(page.pictures.length + 1);
  page.pictures.forEach(([row, length], number) => {
    pictureOf[row] = number;
    starts[number + 1] = starts[number] + length;
  });
  const coloured = new Map();
  for (const image of document.querySelectorAll(".worst img[data-row]:not(.plain)")) {
    coloured.set(Number(image.dataset.row), image.src);
  }
  function source(row) {
    const number = pictureOf[row];
    if (number < 0) return coloured.get(row) || "";
    return "data:image/webp;base64," + pictures.slice(starts[number], starts[number + 1]);
  }

  // ---- text ------------------------------------------------------------------------------------

  const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many || one + "s"}`;
  const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
  // Plotly takes some tags in its texts.
  const escaped = (text) => plain(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, room) => (text.length <= room ? text : `${text.slice(0, Math.floor(room / 3))}…${text.slice(text.length - (room - Math.floor(room / 3) - 1))}`);
  const fixed = (value, digits) => (Number.isNaN(value) ? "–" : value.toFixed(digits));

  const PLANE = { series: "series ", z: "z", c: "c", t: "t" };
  function place(row) {
    const said = [];
    for (const [name, sign] of Object.entries(PLANE)) {
      const text = column(name)[row];
      if (text !== "") said.push(sign + text);
    }
    return said.join(" ");
  }
  const named = (row) => plain(`${files[row]} ${place(row)}`.trim());
  function verdict(row) {
    if (status[row] === "unreadable") return "unreadable";
    if (status[row] === "no_content") return "no content";
    // The single level of a mixed image may be that of a few sure patches.
    if (status[row] === "mixed") return `mixed, expected level ${fixed(expected[row], 1)}, certainty ${fixed(certainty[row], 2)}`;
    return `${WORDS[status[row]]}, level ${fixed(level[row], 0)} (expected ${fixed(expected[row], 1)}), certainty ${fixed(certainty[row], 2)}`;
  }
  function colour(value) {
    const top = page.colours.length - 1;
    const at = Math.min(Math.max(value, 0), top);
    return page.colours[Math.round(at)];
  }

  /** An element; texts go in as text, never as markup. */
  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
      else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  /** A name that may be broken after its separators before it is broken elsewhere. */
  const breakable = (text) => text.match(/[^_.-]*[_.-]|[^_.-]+/g)?.flatMap((part, number) => (number ? [element("wbr"), part] : [part])) || [];
  const announce = (text) => { byId("announce").textContent = text; };
  const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN);

  function thumb(row, options = {}) {
    const image = source(row);
    const mark = options.mark ?? (judged(row) ? `${SIGNS[status[row]]} ${fixed(expected[row], 1)}` : `${SIGNS[status[row]]} ${WORDS[status[row]]}`);
    return element(
      "button",
      { type: "button", class: "thumb", title: plain(files[row]), "aria-label": options.label || `${named(row)}: ${verdict(row)}`, on: { click: options.open || (() => openImage(row)) } },
      image ? element("img", { src: image, alt: "", decoding: "async" }) : element("span", { class: "none" }, "no picture"),
      element("span", { class: "mark", "aria-hidden": "true" }, mark),
      options.name ? element("bdi", { class: "name", "aria-hidden": "true" }, ...breakable(named(row))) : null,
    );
  }

  // ---- the window with an image or several -----------------------------------------------------

  const dialog = byId("dialog");
  let opener = null;
  let gallery = null;
  function show(title, ...content) {
    byId("dialog-title").textContent = title;
    byId("dialog-body").replaceChildren(...content);
    if (!dialog.open) {
      opener = document.activeElement;
      dialog.showModal();
    }
    dialog.scrollTop = 0;
    byId("dialog-title").focus();
  }
  byId("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    gallery = null;
    byId("dialog-body").replaceChildren();
    if (opener && opener.isConnected) opener.focus({ preventScroll: true });
    opener = null;
  });
  let step = null;
  dialog.addEventListener("keydown", (event) => {
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else return;
    event.preventDefault();
  });

  const GALLERY_PAGE = 60;
  function openGallery(title, rows) {
    if (rows.length === 1) return openImage(rows[0]);
    gallery = { title, rows };
    step = null;
    const counts = STATUSES.map((one) => [one, rows.filter((row) => status[row] === one).length]).filter(([, number]) => number);
    const grid = element("div", { class: "gallery" });
    const more = element("button", { type: "button" });
    let upTo = 0;
    const add = () => {
      const start = upTo;
      const next = rows.slice(start, start + GALLERY_PAGE);
      const made = next.map((row, number) => thumb(row, { name: true, open: () => openImage(row, rows, start + number) }));
      grid.append(...made);
      upTo += next.length;
      more.textContent = `Show ${Math.min(GALLERY_PAGE, rows.length - upTo)} more of ${(rows.length - upTo).toLocaleString("en")}`;
      more.hidden = upTo >= rows.length;
      if (start && made.length) made[0].focus();
    };
    more.addEventListener("click", add);
    add();
    show(
      `${title}: ${count(rows.length, "image")}`,
      element("p", { class: "soft" }, counts.map(([one, number]) => `${number.toLocaleString("en")} ${WORDS[one]}`).join(", ")),
      grid,
      element("p", {}, more),
    );
  }

  const FACTS = [
    ["plate", "Plate"], ["well", "Well"], ["site", "Site"], ["channel", "Channel"],
    ["level", "Level"], ["expected_level", "Expected level"], ["certainty", "Certainty"],
    ["mean_certainty", "Mean certainty of patches"], ["max_certainty", "Highest certainty of patches"],
    ["blur_diameter_px", "Blur disc, pixels"], ["defocus_um", "Defocus, µm"],
    ["saturated_fraction", "Saturated share"], ["modified", "File of"], ["error", "Error"], ["message", "Remark"],
  ];
  const DIGITS = { level: 0, expected_level: 1, certainty: 2, mean_certainty: 2, max_certainty: 2, blur_diameter_px: 1, defocus_um: 2, saturated_fraction: 4 };
  const rounded = (text, digits) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text).toFixed(digits));
  function openImage(row, rows = null, at = 0) {
    const image = coloured.get(row) || source(row);
    const facts = element("dl", {});
    const add = (name, text) => facts.append(element("dt", {}, name), element("dd", {}, element("bdi", {}, text)));
    add("Verdict", `${SIGNS[status[row]]} ${WORDS[status[row]]}`);
    const where = place(row);
    if (where) add("Plane", where);
    for (const [name, words] of FACTS) {
      const text = column(name)[row];
      if (name === "level" && status[row] === "mixed") continue;
      if (text !== "") add(words, name === "modified" ? text.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC") : name in DIGITS ? rounded(text, DIGITS[name]) : text);
      if (name === "expected_level" && column("expected_level_low")[row] !== "") {
        add("95 % interval", `${rounded(column("expected_level_low")[row], 1)} to ${rounded(column("expected_level_high")[row], 1)}, from ${column("places")[row]} places`);
      }
    }
    const width = column("width")[row];
    if (width !== "") add("Pixels", `${width} × ${column("height")[row]}`);
    const odds = [];
    for (let k = 0; k < page.levels; k++) odds.push(Number(column(`p${k}`)[row] || NaN));
    let bars = null;
    if (!odds.some(Number.isNaN)) {
      bars = element("div", { class: "odds", role: "img", "aria-label": `Probability of each level: ${odds.map((p, k) => [p, k]).filter(([p]) => p >= 0.05).map(([p, k]) => `${k}: ${Math.round(100 * p)} %`).join(", ")}` });
      const most = Math.max(...odds);
      odds.forEach((p, k) => {
        const bar = element("i", {});
        bar.style.height = `${Math.max(1, (70 * p) / most)}px`;
        bar.style.background = page.colours[k];
        bars.append(element("div", { "aria-hidden": "true" }, bar, String(k)));
      });
    }
    const buttons = element("p", { class: "buttons" });
    if (gallery && rows) {
      const back = gallery;
      buttons.append(element("button", { type: "button", on: { click: () => openGallery(back.title, back.rows) } }, `Back to all ${back.rows.length.toLocaleString("en")}`));
    }
    step = null;
    if (rows && rows.length > 1) {
      step = (by) => {
        const next = at + by;
        if (next >= 0 && next < rows.length) openImage(rows[next], rows, next);
      };
      buttons.append(
        element("button", { type: "button", disabled: at === 0, on: { click: () => step(-1) } }, "Previous"),
        element("button", { type: "button", disabled: at === rows.length - 1, on: { click: () => step(1) } }, "Next"),
        element("span", { class: "soft" }, `${(at + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`),
      );
    }
    if (stackOf.has(row)) {
      const planes = stacks[stackOf.get(row)].rows;
      if (rows !== planes) buttons.append(element("button", { type: "button", on: { click: () => openGallery(`Planes of ${plain(files[row])}`, planes) } }, `All ${planes.length} planes`));
    }
    const notes = [CHANGED[changes.get(row)], status[row] === "no_content" ? "Without content its level means nothing." : ""].filter(Boolean);
    show(
      named(row),
      element(
        "div",
        { class: "one" },
        element(
          "div",
          {},
          element("div", { class: "frame" }, image ? element("img", { src: image, alt: `${named(row)}${coloured.has(row) ? ", patches coloured by level" : ""}` }) : "no picture"),
          element("p", { class: "soft small" }, coloured.has(row) ? "Patches coloured by level, blue in focus to yellow far out." : image ? "Small and grey, contrast stretched." : ""),
          buttons,
        ),
        element("div", {}, ...notes.map((note) => element("p", { class: "note" }, note)), facts, bars, bars ? element("p", { class: "soft small" }, "Probability of each level.") : null),
      ),
    );
  }
  for (const button of document.querySelectorAll(".worst button")) {
    const rows = [...document.querySelectorAll(".worst button")].map((one) => Number(one.dataset.row));
    button.addEventListener("click", () => openImage(Number(button.dataset.row), rows, rows.indexOf(Number(button.dataset.row))));
  }
  const allWorst = byId("all-worst");
  if (allWorst) {
    allWorst.hidden = false;
    allWorst.addEventListener("click", () => {
      document.querySelector(".worst").classList.add("all");
      allWorst.remove();
      document.querySelectorAll(".worst button")[8].focus();
    });
  }

  // ---- downloads -------------------------------------------------------------------------------

  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
  /** A field of a table after RFC 4180. An apostrophe keeps a spreadsheet from running it. */
  function field(text) {
    const guarded = /^[=+\-@\t\r\n'＝＋－＠]/.test(text) && !NUMBER.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(guarded) ? `"${guarded.replace(/"/g, '""')}"` : guarded;
  }
  function save(name, names, rows) {
    const lines = [names.map(field).join(","), ...rows.map((row) => row.map(field).join(","))];
    const link = element("a", { href: URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    announce(`${name} saved with ${count(rows.length, "row")}`);
  }

  // ---- charts ----------------------------------------------------------------------------------

  const charts = [];
  let paper = false;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const onDark = () => dark.matches && !paper;
  const ink = () => {
    const css = getComputedStyle(document.documentElement);
    const value = (name, printed) => (paper ? printed : css.getPropertyValue(name).trim());
    return { ink: value("--ink", "#000"), soft: value("--soft", "#333"), line: value("--line", "#ccc"), card: value("--card", "#fff") };
  };
  function layoutOf(extra) {
    const colours = ink();
    const axis = (own) => ({ gridcolor: colours.line, linecolor: colours.soft, zeroline: false, fixedrange: true, automargin: true, tickangle: 0, ticks: "outside", tickcolor: colours.line, ...own });
    const { xaxis, yaxis, ...rest } = extra;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colours.ink },
      margin: { l: 48, r: 12, t: 8, b: 42 }, showlegend: false,
      hoverlabel: { bgcolor: colours.ink, bordercolor: colours.ink, font: { color: colours.card } },
      xaxis: axis(xaxis), yaxis: axis(yaxis), ...rest,
    };
  }

  /** Of what is counted there are no halves. */
  const wholeSteps = (range) => (range < 6 ? { dtick: 1 } : {});

  /**
   * A chart that opens images: by click, and by keyboard from one item to the next.
   *
   * build(width) gives the traces, whose customdata are numbers of items, the layout, and the
   * items: place on the axes, what to say, title and rows to open, and for a grid `at`: [r, c].
   */
  class Chart {
    constructor(plot, build) {
      this.plot = plot;
      this.build = build;
      this.items = [];
      this.cursor = -1;
      this.drawn = false;
      this.ring = element("div", { class: "ring", hidden: true });
      this.reading = element("div", { class: "reading", hidden: true });
      this.canvas = element("div", {});
      this.canvas.style.height = "100%";
      plot.append(this.canvas, this.ring, this.reading);
      plot.tabIndex = 0;
      plot.setAttribute("role", "application");
      plot.setAttribute("aria-roledescription", "chart");
      plot.setAttribute("aria-label", `${plot.dataset.label}. Arrow keys move, Enter opens.`);
      plot.addEventListener("keydown", (event) => this.key(event));
      plot.addEventListener("blur", () => this.leave());
      charts.push(this);
      if (window.Plotly) this.begin();
    }

    begin() {
      if (seen) seen.observe(this.plot);
      else this.draw();
    }

    draw(width = 0) {
      if (!window.Plotly || this.plot.closest("[hidden]")) return;
      const wide = width || this.plot.clientWidth;
      const { data, layout, items } = this.build(wide);
      this.items = items;
      this.cursor = -1;
      const height = layout.height || this.plot.clientHeight;
      if (layout.height) this.plot.style.height = `${layout.height}px`;
      Plotly.react(this.canvas, data, { ...layoutOf(layout), width: wide, height }, { displayModeBar: false });
      if (!this.drawn) {
        this.canvas.on("plotly_click", (event) => {
          const number = event.points[0].customdata;
          const item = this.items[Array.isArray(number) ? number[0] : number];
          if (item) {
            this.plot.focus({ preventScroll: true });
            this.leave();
            this.open(item);
          }
        });
      }
      this.drawn = true;
    }

    /** One image has all of the chart before and after it. */
    open(item) {
      if (item.rows.length > 1) return openGallery(item.title, item.rows);
      const rows = this.items.flatMap((one) => one.rows);
      openImage(item.rows[0], rows, rows.indexOf(item.rows[0]));
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || !this.drawn || !this.items.length) return;
      const last = this.items.length - 1;
      let next = this.cursor;
      const grid = this.items[0].at;
      const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
      if (event.key === "Enter" || event.key === " ") {
        const item = this.items[this.cursor];
        event.preventDefault();
        if (item) this.open(item);
        return;
      }
      if (event.key === "Home") next = 0;
      else if (event.key === "End") next = last;
      else if (!(event.key in moves)) return;
      else if (next < 0) next = 0;
      else if (grid) next = this.neighbour(moves[event.key]);
      else {
        const [down, right] = moves[event.key];
        next = Math.min(last, Math.max(0, next + right + down * Math.max(1, Math.min(10, Math.round(last / 10)))));
      }
      event.preventDefault();
      this.move(next);
    }

    /** The nearest item in a direction of a grid, of which places may be empty. */
    neighbour([down, right]) {
      const [row, col] = this.items[this.cursor].at;
      let best = this.cursor;
      let least = Infinity;
      this.items.forEach(({ at: [r, c] }, number) => {
        const along = (r - row) * down + (c - col) * right;
        const aside = Math.abs((r - row) * right) + Math.abs((c - col) * down);
        if (along > 0 && along + 100 * aside < least) [best, least] = [number, along + 100 * aside];
      });
      return best;
    }

    move(number) {
      this.cursor = number;
      const item = this.items[number];
      const axes = this.canvas._fullLayout;
      this.ring.style.left = `${axes.xaxis._offset + axes.xaxis.d2p(item.x)}px`;
      this.ring.style.top = `${axes.yaxis._offset + axes.yaxis.d2p(item.y)}px`;
      if (item.at) {
        // Around the well, whose number stays to be read.
        const across = (axis) => `${Math.abs(axis.d2p(1) - axis.d2p(0)) + 4}px`;
        Object.assign(this.ring.style, { width: across(axes.xaxis), height: across(axes.yaxis), borderRadius: "4px" });
      }
      this.ring.hidden = false;
      this.reading.textContent = item.say;
      this.reading.hidden = false;
      announce(item.say);
    }

    leave() {
      this.ring.hidden = true;
      this.reading.hidden = true;
    }
  }
  const seen = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = charts.find((one) => one.plot === entry.target);
        if (entry.isIntersecting && chart && !chart.drawn) chart.draw();
      }
    }, { rootMargin: "600px" })
    : null;
  const redraw = () => charts.forEach((chart) => { if (chart.drawn) chart.draw(); });
  let lastWidth = window.innerWidth;
  let resized = 0;
  window.addEventListener("resize", () => {
    if (paper || window.innerWidth === lastWidth) return;
    lastWidth = window.innerWidth;
    clearTimeout(resized);
    resized = setTimeout(() => { redraw(); fillTable(); }, 150);
  });
  dark.addEventListener("change", redraw);

  const channels = (hue) => [1, 3, 5].map((at) => parseInt(hue.slice(at, at + 2), 16) / 255);
  /** Relative luminance after WCAG 2.2. */
  function luminance(parts) {
    const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }
  const pattern = (one) => ({ shape: HATCHES[one], fgcolor: "#1c2430", bgcolor: HUES[one], fillmode: "replace", size: 7, solidity: 0.25 });
  /** A colour, darkened until a mark's edge in it stands out from white (WCAG 2.2, 1.4.11), also in print. */
  function edge(hue) {
    const least = paper ? 7 : 3;
    let parts = channels(hue);
    while (!onDark() && 1.05 / (luminance(parts) + 0.05) < least) parts = parts.map((part) => part * 0.92);
    return `rgb(${parts.map((part) => Math.round(255 * part)).join(",")})`;
  }
  const imagesTitle = (rows) => count(rows.length, "image");

  function drawLevels(width) {
    const ticks = [...Array(page.levels).keys()].map(String);
    const last = page.levels;
    const groups = new Map();
    for (const image of every) {
      const row = shown[image];
      const at = judged(row) ? (status[row] === "mixed" ? Math.round(expected[row]) : level[row]) : status[row] === "unreadable" ? last + 1 : last;
      const key = `${at}|${status[row] === "mixed" ? "mixed" : "one"}`;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(row);
    }
    const items = [];
    const data = [];
    const totals = new Array(last + 2).fill(0);
    for (let at = 0; at <= last + 1; at++) {
      for (const kind of ["one", "mixed"]) {
        const rows = groups.get(`${at}|${kind}`);
        if (!rows) continue;
        const name = at < last ? `Level ${at}${kind === "mixed" ? ", mixed" : ""}` : at === last ? "No content" : "Unreadable";
        rows.sort((one, other) => certainty[other] - certainty[one]);
        const hue = at < last ? page.colours[at] : at === last ? HUES.no_content : HUES.unreadable;
        const shape = kind === "mixed" ? "x" : at === last ? "." : at > last ? "-" : "";
        data.push({
          type: "bar", x: [at], y: [rows.length], customdata: [items.length], hovertext: [`${name}: ${imagesTitle(rows)}`], hovertemplate: "%{hovertext}<extra></extra>", width: 0.88,
          marker: { color: hue, pattern: { shape, bgcolor: hue, fgcolor: "#1c2430", fillmode: "replace", size: 7, solidity: 0.25 }, line: { color: ink().soft, width: 1 } },
        });
        items.push({ x: at, y: totals[at] + rows.length / 2, title: name, say: `${name}: ${imagesTitle(rows)}`, rows });
        totals[at] += rows.length;
      }
    }
    data.push({ type: "scatter", mode: "text", x: totals.map((_, at) => at), y: totals, text: totals.map((number) => (number ? number.toLocaleString("en") : "")), textposition: "top center", textfont: { size: 12 }, hoverinfo: "skip", cliponaxis: false });
    const empty = totals[last] > 0;
    const unread = totals[last + 1] > 0;
    const end = unread ? last + 1 : empty ? last : last - 1;
    return {
      items,
      data,
      layout: {
        barmode: "stack", bargap: 0.12, margin: { l: 48, r: 12, t: 34, b: 44 },
        xaxis: { range: [-0.6, end + 0.6], tickvals: totals.map((_, at) => at), ticktext: [...ticks, SIGNS.no_content, SIGNS.unreadable], title: { text: "level", standoff: 4 }, showgrid: false },
        yaxis: { title: { text: "images", standoff: 4 }, rangemode: "tozero", range: [0, Math.max(...totals, 1) * 1.1], ...wholeSteps(Math.max(...totals)) },
        shapes: [{ type: "line", xref: "x", yref: "paper", x0: page.limit + 0.5, x1: page.limit + 0.5, y0: 0, y1: 1.06, line: { color: ink().soft, width: 1.5, dash: "dash" } }],
        annotations: [{ xref: "x", yref: "paper", x: page.limit + 0.5, y: 1.11, text: "in focus ◂", xanchor: "right", showarrow: false, font: { size: 12 } }, { xref: "x", yref: "paper", x: page.limit + 0.5, y: 1.11, text: "▸ out", xanchor: "left", showarrow: false, font: { size: 12 } }],
      },
    };
  }

  /** Marks of many rows, at most about that many: near ones of one status are one mark. */
  function thinned(rows, x, y, [low, high], most) {
    const cells = Math.max(12, Math.round(Math.sqrt(most * 2)));
    const marks = new Map();
    for (const row of rows) {
      const key = rows.length <= most
        ? row
        : `${status[row]}|${Math.floor(((x(row) - low[0]) / (high[0] - low[0] || 1)) * cells)}|${Math.floor(((y(row) - low[1]) / (high[1] - low[1] || 1)) * cells)}`;
      if (!marks.has(key)) marks.set(key, []);
      marks.get(key).push(row);
    }
    return [...marks.values()];
  }
  function markTraces(marks, x, y) {
    const items = [];
    const data = STATUSES.map((one) => {
      const own = marks.filter((rows) => status[rows[0]] === one);
      const trace = { type: "scatter", mode: "markers", x: [], y: [], customdata: [], hovertext: [], hovertemplate: "%{hovertext}<extra></extra>", marker: { symbol: MARKS[one], size: [], color: [], opacity: 1, line: { width: one === "in_focus" || one === "mixed" ? 1 : 2, color: [] } } };
      const hollow = MARKS[one].endsWith("-open");
      for (const rows of own) {
        const row = rows[0];
        trace.x.push(x(row));
        trace.y.push(y(row));
        trace.customdata.push(items.length);
        trace.hovertext.push(rows.length > 1 ? `${rows.length} images here, ${WORDS[one]}` : `${escaped(short(named(row), 48))}<br>${verdict(row)}`);
        trace.marker.size.push(Math.min(20, 7 + 2 * Math.log2(rows.length)));
        const hue = judged(row) ? colour(expected[row]) : ink().soft;
        const rim = judged(row) ? edge(hue) : hue;
        // What is open has the colour of its edge; without colours, what is filled is dark.
        trace.marker.color.push(hollow || paper ? rim : hue);
        trace.marker.line.color.push(rim);
        items.push({ x: x(row), y: y(row), title: rows.length > 1 ? `Images near this point` : named(row), say: rows.length > 1 ? `${rows.length} images, ${WORDS[one]}` : `${named(row)}: ${verdict(row)}`, rows });
      }
      return trace;
    });
    return { data, items };
  }
  /** Sort items along x and keep the numbers in the traces right. */
  function inOrder({ data, items }) {
    const order = items.map((_, number) => number).sort((one, other) => items[one].x - items[other].x || items[one].y - items[other].y);
    const now = new Array(order.length);
    order.forEach((before, number) => { now[before] = number; });
    for (const trace of data) trace.customdata = trace.customdata.map((number) => now[number]);
    return { data, items: order.map((number) => items[number]) };
  }
  const sayThinned = (id, marks, rows) => {
    byId(id).textContent = marks.length < rows.length ? ` ${count(rows.length, "image")} are drawn as ${marks.length.toLocaleString("en")} marks: near ones of one verdict are one, the larger the more.` : "";
  };
  const MOST_MARKS = 1500;
  const legendOf = () => ({ showlegend: true, legend: { orientation: "h", x: 0, y: -0.22, font: { size: 12 }, itemclick: false, itemdoubleclick: false } });

  function drawCertainty(width) {
    const rows = shown.filter((row) => status[row] !== "unreadable" && !Number.isNaN(meanCertainty[row]) && !Number.isNaN(certainty[row]));
    const marks = thinned(rows, (row) => meanCertainty[row], (row) => certainty[row], [[0, 0], [1, 1]], MOST_MARKS);
    sayThinned("thinned-certainty", marks, rows);
    const drawn = inOrder(markTraces(marks, (row) => meanCertainty[row], (row) => certainty[row]));
    drawn.data.forEach((trace, number) => {
      trace.name = WORDS[STATUSES[number]];
      trace.visible = trace.x.length > 0;
    });
    const cut = page.sure;
    const small = width < 420;
    const corners = [
      [0, 1, small ? "few sure,<br>but alike" : "few patches sure,<br>but alike", (m, a) => m < cut && a >= cut],
      [1, 1, small ? "alike:<br>one level" : "sure and alike:<br>one level", (m, a) => m >= cut && a >= cut],
      [0, 0, "unsure:<br>empty or noise", (m, a) => m < cut && a < cut],
      [1, 0, small ? "unlike:<br>several levels" : "sure but unlike:<br>several levels", (m, a) => m >= cut && a < cut],
    ];
    return {
      ...drawn,
      layout: {
        height: small ? 420 : 400, margin: { l: 48, r: 10, t: 8, b: 70 },
        xaxis: { range: [-0.02, 1.02], title: { text: "mean certainty of the patches", standoff: 4 } },
        yaxis: { range: [-0.21, 1.23], tickvals: [0, 0.2, 0.4, 0.6, 0.8, 1], title: { text: "certainty of the image", standoff: 4 } },
        shapes: [["x", "y"], ["y", "x"]].map(([own, other]) => ({ type: "line", layer: "below", xref: "x", yref: "y", [`${own}0`]: cut, [`${own}1`]: cut, [`${other}0`]: other === "y" ? -0.21 : -0.02, [`${other}1`]: other === "y" ? 1.23 : 1.02, line: { color: ink().soft, width: 1.5, dash: "dash" } })),
        annotations: corners.map(([x, y, text, within]) => ({
          xref: "x", yref: "paper", x: x ? 1.02 : -0.02, y, xanchor: x ? "right" : "left", yanchor: y ? "top" : "bottom", align: x ? "right" : "left", showarrow: false,
          text: `<b>${rows.filter((row) => within(meanCertainty[row], certainty[row])).length.toLocaleString("en")}</b> ${text}`,
          font: { size: small ? 11 : 12 }, bgcolor: ink().card, borderpad: 2,
        })),
        ...legendOf(),
      },
    };
  }

  const times = column("modified").map((text) => (text === "" ? NaN : Date.parse(text.replace(/(\.\d{3})\d*Z$/, "$1Z"))));
  const pointOf = numbersOf("t");
  // Focus does not drift in that many milliseconds: files of so short a time are copies, mostly.
  const BRIEF = 60000;
  function drawTime(width) {
    const order = byId("time-order").value;
    const byTime = order === "time";
    const at = { time: (row) => times[row], t: (row) => pointOf[row], order: (row) => row + 1 }[order];
    const rows = shown.filter((row) => judged(row) && !Number.isNaN(at(row))).sort((one, other) => at(one) - at(other) || one - other);
    const low = rows.length ? at(rows[0]) : 0;
    const high = rows.length ? at(rows[rows.length - 1]) : 1;
    const marks = thinned(rows, at, (row) => expected[row], [[low, 0], [high, page.levels - 1]], MOST_MARKS);
    sayThinned("thinned-time", marks, rows);
    const drift = "a slow rise is a drifting focus, a step a bumped stage";
    byId("course").textContent = byTime && high - low < BRIEF
      ? `All files were written within ${count(Math.max(1, Math.ceil((high - low) / 1000)), "second")}: too short a time for focus to drift. The time of a copy is that of copying.`
      : order === "order" ? `If the table has the images in the order in which they were taken, ${drift}.` : `${drift[0].toUpperCase()}${drift.slice(1)}.`;
    // Labels stand side by side only with room, and fractions of a second say nothing.
    const most = Math.max(2, Math.floor((width - 60) / 80));
    const seconds = high - low >= 1000 * most ? { nticks: most } : { dtick: 1000, ...(high - low < 1000 ? { range: [1000 * Math.floor(low / 1000) - 500, 1000 * Math.ceil(high / 1000) + 500] } : {}) };
    const drawn = inOrder(markTraces(marks, at, (row) => expected[row]));
    const line = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", line: { color: ink().ink, width: 2 }, customdata: [] };
    const half = Math.max(3, Math.round(rows.length / 60));
    // Where many stand at one time, a line would go up and down between them.
    if (rows.length > 4 * half && new Set(rows.map(at)).size > rows.length / 2) {
      const stride = Math.max(1, Math.floor(rows.length / 300));
      for (let number = half; number < rows.length - half; number += stride) {
        const window = Array.from(rows.slice(number - half, number + half + 1), (row) => expected[row]).sort((one, other) => one - other);
        line.x.push(at(rows[number]));
        line.y.push(window[half]);
      }
    }
    return {
      items: drawn.items,
      data: [...drawn.data.filter((trace) => trace.x.length), line],
      layout: {
        xaxis: byTime ? { type: "date", ...seconds, title: { text: "time of the file (UTC)", standoff: 6 } } : { title: { text: order === "t" ? "point in time, t" : "place in the table", standoff: 6 }, rangemode: "tozero", tickformat: ",d", ...wholeSteps(high - low) },
        yaxis: { range: [-0.3, page.levels - 0.7], title: { text: "expected level", standoff: 4 }, dtick: 2 },
      },
    };
  }

  // ---- plates ----------------------------------------------------------------------------------

  const wellOf = column("well");
  const plateOf = column("plate");
  const natural = new Intl.Collator("en", { numeric: true }).compare;
  const distinct = (name) => [...new Set(shown.map((row) => column(name)[row]))].filter((text) => text !== "").sort(natural);
  const inPlaces = (rows) => ({ with: rows.filter(judged), bad: rows.filter((row) => status[row] === "out_of_focus" || status[row] === "mixed") });
  function valueOf(kind, rows) {
    const { with: judgedRows, bad } = inPlaces(rows);
    if (!judgedRows.length) return NaN;
    if (kind === "mean") return mean(judgedRows.map((row) => expected[row]));
    if (kind === "worst") return Math.max(...judgedRows.map((row) => expected[row]));
    if (kind === "share") return bad.length / judgedRows.length;
    return mean(judgedRows.map((row) => certainty[row]));
  }
  /** Black or white, whichever has more contrast on a colour. */
  const inkOn = (hue) => (luminance(channels(hue)) > 0.179 ? "#000" : "#fff");
  const LETTERS = (row) => (row < 26 ? "" : "A") + String.fromCharCode(65 + (row % 26));

  function drawPlate(plate) {
    return (width) => {
      const [high, wide] = page.formats[plate];
      const kind = byId("plate-value").value;
      const site = byId("plate-site").value;
      const channel = byId("plate-channel").value;
      const wells = new Map();
      for (const row of shown) {
        if (plateOf[row] !== plate || !page.wells[wellOf[row]]) continue;
        if ((site && column("site")[row] !== site) || (channel && column("channel")[row] !== channel)) continue;
        const key = page.wells[wellOf[row]].join("|");
        if (!wells.has(key)) wells.set(key, { rows: [], name: wellOf[row] });
        wells.get(key).rows.push(row);
      }
      const outlines = { judged: [[], []], no_content: [[], []], unreadable: [[], []] };
      const apart = { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip", marker: { symbol: "triangle-ne", size: 0, color: [] } };
      const outline = (kind_, r, c) => {
        outlines[kind_][0].push(c + 0.53, c + 1.47, c + 1.47, c + 0.53, c + 0.53, null);
        outlines[kind_][1].push(r - 0.47, r - 0.47, r + 0.47, r + 0.47, r - 0.47, null);
      };
      const nothing = () => Array.from({ length: high }, () => new Array(wide).fill(null));
      const z = nothing();
      const words = nothing();
      const numbers = nothing();
      const texts = Array.from({ length: high }, () => new Array(wide).fill(""));
      const items = [];
      const void_ = { type: "scatter", mode: "text", x: [], y: [], text: [], customdata: [], hovertext: [], hovertemplate: "%{hovertext}<extra></extra>", textfont: { size: 14 } };
      const cell = (width - 40) / wide;
      const share = kind === "share";
      for (let r = 0; r < high; r++) {
        for (let c = 0; c < wide; c++) {
          const well = wells.get(`${r}|${c}`);
          if (!well) continue;
          const value = valueOf(kind, well.rows);
          const counts = STATUSES.map((one) => [one, well.rows.filter((row) => status[row] === one).length]).filter(([, number]) => number).map(([one, number]) => `${number} ${WORDS[one]}`).join(", ");
          const levels = well.rows.filter(judged).map((row) => expected[row]);
          const differ = Math.max(...levels) - Math.min(...levels) > APART;
          const range = differ ? `, its images from ${Math.min(...levels).toFixed(1)} to ${Math.max(...levels).toFixed(1)}` : "";
          const said = Number.isNaN(value) ? counts : `${share ? `${Math.round(100 * value)} % not in focus` : kind === "certainty" ? `certainty ${value.toFixed(2)}` : `level ${value.toFixed(1)}`}${range}; ${counts}`;
          const name = `Well ${plain(well.name)}`;
          items.push({ x: c + 1, y: r, at: [r, c], title: name, say: `${name}: ${said}`, rows: well.rows });
          words[r][c] = `${escaped(name)}<br>${said}`;
          numbers[r][c] = items.length - 1;
          if (Number.isNaN(value)) {
            void_.x.push(c + 1);
            void_.y.push(r);
            const unread = well.rows.every((row) => status[row] === "unreadable");
            void_.text.push(unread ? "×" : "·");
            outline(unread ? "unreadable" : "no_content", r, c);
            void_.customdata.push(items.length - 1);
            void_.hovertext.push(words[r][c]);
          } else {
            z[r][c] = value;
            outline("judged", r, c);
            if (differ) {
              apart.x.push(c + 1);
              apart.y.push(r);
            }
            // What is wider than a cell stands below the number.
            const marks = cell < 40 ? [] : ["mixed", "no_content", "unreadable"].filter((one) => well.rows.some((row) => status[row] === one)).map((one) => SIGNS[one]);
            const signs = marks.length && cell < (marks.length > 1 ? 64 : 44) ? `<br>${marks.join("")}` : marks.map((sign) => ` ${sign}`).join("");
            texts[r][c] = signs && !share && kind !== "certainty" ? value.toFixed(1) + signs : cell < 11 ? "" : share ? (cell < 24 ? "" : `${Math.round(100 * value)}`) : kind === "certainty" ? (cell < 24 ? "" : value.toFixed(1).replace("0.", ".")) : cell < 24 ? String(Math.round(value)) : value.toFixed(1);
          }
        }
      }
      const top = page.colours.length - 1;
      const ramp = page.colours.map((hue, number) => [number / top, hue]);
      const column_ = (number) => number + 1;
      const heat = {
        type: "heatmap", z, x: [...Array(wide).keys()].map(column_), y: [...Array(high).keys()], customdata: numbers, hovertext: words,
        hovertemplate: "%{hovertext}<extra></extra>", xgap: cell > 14 ? 2 : 1, ygap: cell > 14 ? 2 : 1, hoverongaps: false,
        zmin: 0, zmax: kind === "share" || kind === "certainty" ? 1 : page.levels - 1, colorscale: kind === "certainty" ? [[0, "#34343a"], [1, "#e9f1f8"]] : ramp, showscale: false,
      };
      // The library chooses greys, which are faint on blue.
      const labels = { type: "scatter", mode: "text", x: [], y: [], text: [], hoverinfo: "skip", textfont: { size: Math.max(7, Math.min(13, cell / 2.5)), weight: 600, color: [] } };
      const inkOf = (r, c) => inkOn(kind === "certainty" ? (z[r][c] < 0.45 ? "#34343a" : "#e9f1f8") : colour(share ? z[r][c] * top : z[r][c]));
      texts.forEach((line, r) => line.forEach((text, c) => {
        if (text === "") return;
        labels.x.push(c + 1);
        labels.y.push(r);
        labels.text.push(text);
        labels.textfont.color.push(inkOf(r, c));
      }));
      const size = Math.max(10, Math.min(44, cell));
      const every_ = Math.max(1, Math.ceil(16 / cell));
      // In the upper right corner of its well.
      const corner = Math.max(4, Math.min(10, Math.min(cell, size) / 5));
      apart.marker.color = apart.x.map((x, number) => inkOf(apart.y[number], x - 1));
      apart.marker.size = corner;
      const inwards = corner / 2 + (cell > 14 ? 2 : 1);
      apart.x = apart.x.map((x) => x + 0.5 - inwards / cell);
      apart.y = apart.y.map((y) => y - 0.5 + inwards / size);
      // Hatched, which a well that was never imaged is not; on paper a pale level has an edge too.
      const edges = Object.entries(outlines).filter(([one, [x]]) => x.length && (paper || one !== "judged")).map(([one, [x, y]]) => ({
        type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color: ink().soft, width: one === "judged" ? 0.5 : 1 },
        ...(one === "judged" ? {} : { fill: "toself", fillcolor: "rgba(0,0,0,0)", fillpattern: { shape: HATCHES[one], fgcolor: ink().soft, bgcolor: "rgba(0,0,0,0)", fillmode: "replace", size: 6, solidity: 0.2 } }),
      }));
      return {
        items,
        data: [heat, ...edges, labels, apart, void_],
        layout: {
          height: Math.round(high * size + 30), margin: { l: 30, r: 8, t: 26, b: 4 },
          xaxis: { side: "top", range: [0.5, wide + 0.5], tickvals: [...Array(wide).keys()].map(column_).filter((number) => (number - 1) % every_ === 0), ticks: "", showgrid: false, tickfont: { size: 11 }, tickangle: 0 },
          yaxis: { range: [high - 0.5, -0.5], tickvals: [...Array(high).keys()].filter((number) => number % Math.max(1, Math.ceil(12 / size)) === 0), ticktext: [...Array(high).keys()].filter((number) => number % Math.max(1, Math.ceil(12 / size)) === 0).map(LETTERS), ticks: "", showgrid: false, tickfont: { size: 11 } },
          shapes: [{ type: "rect", xref: "x", yref: "y", x0: 0.5, x1: wide + 0.5, y0: -0.5, y1: high - 0.5, line: { color: ink().line, width: 1 }, layer: "below" }],
        },
      };
    };
  }
  // Levels between the images of a well from which on one number does not tell of all of them.
  const APART = 3;
  const OF_A_WELL = {
    worst: "A well shows its worst image, since one bad site is enough to look at it",
    mean: "A well shows the mean of its images, which may be like none of them",
    share: "A well shows how many of 100 images are out of focus or mixed",
    certainty: "A well shows the mean certainty of its images",
  };
  function fillPlates() {
    const home = byId("plate-figures");
    if (!home) return;
    for (const [id, name] of [["plate-site", "site"], ["plate-channel", "channel"]]) {
      const texts = distinct(name);
      byId(id).replaceChildren(element("option", { value: "" }, "all"), ...texts.map((text) => element("option", { value: text }, short(plain(text), 40))));
      byId(id.replace("plate-", "for-")).hidden = texts.length < 2;
    }
    const names = Object.keys(page.formats).sort(natural);
    const many = 6;
    let upTo = 0;
    const own = [];
    const add = (number) => {
      for (const plate of names.slice(upTo, upTo + number)) {
        const title = plate === "" ? (names.length > 1 ? "Plate without a name" : "The plate") : `Plate ${plain(plate)}`;
        const plot = element("div", { class: "plot", "data-label": `${title} as a heat map of ${page.formats[plate].join(" by ")} wells` });
        home.append(element("figure", { class: "card" }, element("h3", {}, title), plot));
        own.push(new Chart(plot, drawPlate(plate)));
      }
      upTo += number;
      const left = names.length - upTo;
      byId("more-plates").replaceChildren(...(left > 0 ? [element("button", { type: "button", on: { click: () => add(many) } }, `Show ${Math.min(many, left)} more of ${count(left, "plate")}`)] : []));
    };
    add(many);
    const say = () => { byId("plates-value").textContent = `${OF_A_WELL[byId("plate-value").value]}. ◥ marks wells whose images are more than ${APART} levels apart.`; };
    say();
    for (const id of ["plate-value", "plate-site", "plate-channel"]) byId(id).addEventListener("change", () => { say(); own.forEach((chart) => { if (chart.drawn) chart.draw(); }); });
    const off = new Set(shown.filter((row) => wellOf[row] !== "" && !page.wells[wellOf[row]]).map((row) => wellOf[row]));
    const without = shown.filter((row) => wellOf[row] === "").length;
    byId("plates-note").textContent = [
      `${SIGNS.mixed} has a mixed image, · one without content, × an unreadable one. Dotted: no image has content; dashed: none could be read; blank: there is none. Colours as above, from level 0, blue, to ${page.levels - 1}, yellow.`,
      without ? `${count(without, "image")} without a well ${without === 1 ? "is" : "are"} not drawn.` : "",
      off.size ? `${count(off.size, "name")} that ${off.size === 1 ? "is" : "are"} no well of a plate: ${[...off].slice(0, 5).map(plain).join(", ")}${off.size > 5 ? " …" : ""}.` : "",
    ].join(" ");
  }

  // ---- by plate, site, channel -----------------------------------------------------------------

  const MOST_GROUPS = 30;
  function drawGroups(names, texts) {
    return () => {
      const groups = new Map(names.map((name) => [name, []]));
      for (const row of shown) if (groups.has(texts[row])) groups.get(texts[row]).push(row);
      const items = [];
      const label = (name) => `${escaped(short(name, 22))}  <b>${fixed(valueOf("mean", groups.get(name)), 1)}</b>`;
      const data = STATUSES.map((one) => {
        const trace = { type: "bar", orientation: "h", x: [], y: [], customdata: [], hovertext: [], hovertemplate: "%{hovertext}<extra></extra>", marker: { color: HUES[one], pattern: pattern(one), line: { color: ink().card, width: 1 } } };
        names.forEach((name, number) => {
          const rows = groups.get(name).filter((row) => status[row] === one);
          if (!rows.length) return;
          const all = groups.get(name).length;
          const before = groups.get(name).filter((row) => STATUSES.indexOf(status[row]) < STATUSES.indexOf(one)).length;
          const said = `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} ${WORDS[one]}`;
          trace.x.push((100 * rows.length) / all);
          trace.y.push(number);
          trace.customdata.push(items.length);
          trace.hovertext.push(`${escaped(short(name, 60))}: ${said}`);
          items.push({ x: (100 * (before + rows.length / 2)) / all, y: number, order: number * 10 + STATUSES.indexOf(one), title: `${plain(name)}, ${WORDS[one]}`, say: `${plain(name)}, mean level ${fixed(valueOf("mean", groups.get(name)), 1)}: ${said}`, rows: rows.sort((a, b) => expected[b] - expected[a]) });
        });
        return trace;
      });
      const order = items.map((_, number) => number).sort((a, b) => items[a].order - items[b].order);
      const now = new Array(order.length);
      order.forEach((before, number) => { now[before] = number; });
      for (const trace of data) trace.customdata = trace.customdata.map((number) => now[number]);
      return {
        items: order.map((number) => items[number]),
        data: data.filter((trace) => trace.x.length),
        layout: {
          barmode: "stack", bargap: 0.25, height: 64 + 27 * names.length, margin: { l: 60, r: 14, t: 4, b: 44 },
          xaxis: { range: [0, 100], title: { text: "share of images, %", standoff: 4 } },
          yaxis: { tickvals: names.map((_, number) => number), ticktext: names.map(label), range: [names.length - 0.45, -0.55], showgrid: false, ticks: "" },
        },
      };
    };
  }
  function fillGroups() {
    const home = byId("group-figures");
    const channelOf = column("channel").map((text, row) => text || (column("c")[row] === "" ? "" : `c ${column("c")[row]}`));
    const by = [];
    for (const [title, texts] of [["Plates", plateOf], ["Sites", column("site")], ["Channels", channelOf]]) {
      let names = [...new Set(shown.map((row) => texts[row]))].filter((text) => text !== "").sort(natural);
      if (!names.length || (names.length < 2 && title !== "Channels")) continue;
      const all = names.length;
      let empty = 0;
      if (all > MOST_GROUPS) {
        const rowsOf = new Map(names.map((name) => [name, []]));
        for (const row of shown) rowsOf.get(texts[row])?.push(row);
        const badness = new Map(names.map((name) => [name, valueOf("share", rowsOf.get(name)) || 0]));
        const told = names.filter((name) => rowsOf.get(name).some((row) => status[row] !== "no_content"));
        empty = all - told.length;
        names = told.length > MOST_GROUPS ? told.sort((one, other) => badness.get(other) - badness.get(one)).slice(0, MOST_GROUPS) : told;
      }
      const left = all - names.length - empty;
      const one = title.toLowerCase().slice(0, -1);
      const others = [left ? `${count(left, one)} that ${left === 1 ? "is" : "are"} better` : "", empty ? `${count(empty, one)} without content` : ""].filter(Boolean).join(", ");
      by.push(one);
      const plot = element("div", { class: "plot", "data-label": `${title} by verdict` });
      byId("groups").hidden = false;
      home.append(element("figure", { class: "card" }, element("h3", {}, left ? `${title}: the ${names.length} worst of ${all}` : title), names.length ? plot : null, others ? element("figcaption", {}, `Not drawn: ${others}.`) : null));
      if (names.length) new Chart(plot, drawGroups(names, texts));
    }
    const title = `By ${by.join(", ").replace(/, ([^,]*)$/, " and $1")}`;
    for (const one of [byId("groups-title"), document.querySelector('nav a[href="#groups"]')]) one.textContent = title;
    byId("key").textContent = STATUSES.map((one) => `${SIGNS[one]} ${WORDS[one]}: ${{ in_focus: "plain", out_of_focus: "striped", mixed: "crossed", no_content: "dotted", unreadable: "dashed" }[one]}`).join(", ");
  }

  // ---- z-stacks --------------------------------------------------------------------------------

  function drawStack(stack) {
    return () => {
      const planes = stack.rows.filter((row) => status[row] !== "unreadable");
      const zs = (row) => Number(column("z")[row]);
      const items = planes.map((row) => ({ x: zs(row), y: judged(row) ? expected[row] : 0, title: named(row), say: `z ${column("z")[row]}: ${verdict(row)}`, rows: [row] }));
      const best = shown[stack.image];
      const data = [{
        type: "scatter", mode: "lines+markers", x: planes.map(zs), y: planes.map((row) => (judged(row) ? expected[row] : null)), customdata: planes.map((_, number) => number),
        hovertext: planes.map((row) => `z ${column("z")[row]}: ${verdict(row)}`), hovertemplate: "%{hovertext}<extra></extra>",
        line: { color: ink().soft, width: 1.5 }, marker: { size: 8, color: planes.map((row) => colour(expected[row])), line: { color: ink().soft, width: 1 } },
      }];
      if (stack.best !== "") data.push({ type: "scatter", mode: "markers", x: [zs(best)], y: [expected[best]], customdata: [planes.indexOf(best)], hovertext: [`best plane: z ${column("z")[best]}`], hovertemplate: "%{hovertext}<extra></extra>", marker: { symbol: "star", size: 17, color: ink().ink, line: { color: ink().card, width: 1.5 } } });
      return { items, data, layout: { margin: { l: 34, r: 8, t: 6, b: 34 }, xaxis: { title: { text: "z", standoff: 2 }, tickformat: "d", ...wholeSteps(planes.length) }, yaxis: { range: [-0.6, page.levels - 0.5], dtick: 5 } } };
    };
  }
  function fillStacks() {
    const home = byId("stack-figures");
    if (!home) return;
    const order = [...stacks].sort((one, other) => (one.best !== "") - (other.best !== "") || (expected[shown[other.image]] || 0) - (expected[shown[one.image]] || 0));
    let upTo = 0;
    const add = () => {
      for (const stack of order.slice(upTo, upTo + 12)) {
        const best = shown[stack.image];
        const where = [column("c")[best] !== "" ? `c${column("c")[best]}` : "", column("t")[best] !== "" ? `t${column("t")[best]}` : ""].filter(Boolean).join(" ");
        const said = stack.best === "" ? `${SIGNS[status[best]]} no plane in focus` : `best: z ${column("z")[best]}${stack.best.includes(".") ? `, between planes at ${Number(stack.best).toFixed(1)}` : ""}`;
        const plot = element("div", { class: "plot", "data-label": `Focus curve of ${named(best)}` });
        home.append(element("figure", { class: "card" }, element("h3", {}, element("bdi", {}, `${plain(files[best])} ${where}`.trim())), plot, element("figcaption", {}, said)));
        new Chart(plot, drawStack(stack));
      }
      upTo += 12;
      const left = order.length - upTo;
      byId("more-stacks").replaceChildren(...(left > 0 ? [element("button", { type: "button", on: { click: add } }, `Show ${Math.min(12, left)} more of ${count(left, "z-stack")}`)] : []));
    };
    add();
  }

  // ---- montage ---------------------------------------------------------------------------------

  const BINS = [0, 0.2, 0.4, 0.6, 0.8, 1.0001];
  function fillMontage() {
    const cells = new Map();
    for (const row of shown) {
      if (!judged(row)) continue;
      const bin = BINS.findIndex((_, number) => certainty[row] < BINS[number + 1]);
      const key = `${status[row] === "mixed" ? "mixed" : level[row]}|${bin}`;
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(row);
    }
    const used = [...Array(5).keys()].filter((bin) => [...cells.keys()].some((key) => key.endsWith(`|${bin}`)));
    const head = element("thead", {}, element("tr", {}, element("td", {}), ...used.map((bin) => element("th", { scope: "col" }, `certainty ${BINS[bin]} to ${Math.floor(10 * BINS[bin + 1]) / 10}`))));
    const body = element("tbody", {});
    for (const at of [...Array(page.levels).keys(), "mixed"]) {
      if (!used.some((bin) => cells.has(`${at}|${bin}`))) continue;
      const swatch = at === "mixed" ? `${SIGNS.mixed} ` : element("span", { class: "swatch" });
      if (at !== "mixed") swatch.style.background = page.colours[at];
      const line = element("tr", {}, element("th", { scope: "row" }, swatch, at === "mixed" ? "mixed" : `level ${at}`));
      for (const bin of used) {
        const rows = (cells.get(`${at}|${bin}`) || []).sort((one, other) => certainty[one] - certainty[other]);
        if (!rows.length) {
          line.append(element("td", {}, element("div", { class: "empty" })));
          continue;
        }
        // The median one among those that have a picture.
        const seenRows = rows.filter((row) => source(row) !== "");
        const pool = seenRows.length ? seenRows : rows;
        const title = `${at === "mixed" ? "Mixed" : `Level ${at}`}, certainty ${BINS[bin]} to ${Math.floor(10 * BINS[bin + 1]) / 10}`;
        line.append(element("td", {}, thumb(pool[pool.length >> 1], { mark: `${rows.length.toLocaleString("en")} ×`, label: `${title}: ${count(rows.length, "image")}`, open: () => openGallery(title, rows) })));
      }
      body.append(line);
    }
    byId("montage-table").append(head, body);
    byId("montage").hidden = !body.children.length;
    const empty = shown.filter((row) => status[row] === "no_content");
    if (empty.length) {
      const wide = element("td", { colspan: Math.max(1, used.length) }, element("button", { type: "button", on: { click: () => openGallery("No content", empty) } }, element("span", { class: "keys" }, "See "), count(empty.length, "image")));
      body.append(element("tr", {}, element("th", { scope: "row" }, "· no content"), wide));
      byId("montage").hidden = false;
    }
  }

  // ---- what to keep ----------------------------------------------------------------------------

  const REASONS = { level: "by their level", certainty: "by their certainty", mixed: "mixed", no_content: "without content", unreadable: "unreadable" };
  function reasonFor(row, limits) {
    if (status[row] === "unreadable") return "unreadable";
    if (status[row] === "no_content") return limits.empty ? "no_content" : "";
    if (status[row] === "mixed" && limits.mixed) return "mixed";
    if (!(expected[row] <= limits.level + 1e-9)) return "level";
    if (!(certainty[row] >= limits.certainty - 1e-9)) return "certainty";
    return "";
  }
  let kept = [];
  let rejected = [];
  function judge() {
    const limits = { level: Number(byId("level-limit").value), certainty: Number(byId("certainty-limit").value), mixed: byId("drop-mixed").checked, empty: byId("drop-empty").checked };
    kept = [];
    rejected = [];
    const reasons = {};
    for (const row of shown) {
      const reason = reasonFor(row, limits);
      if (reason) {
        rejected.push([row, reason]);
        reasons[reason] = (reasons[reason] || 0) + 1;
      } else kept.push([row, ""]);
    }
    byId("kept-count").textContent = `${count(kept.length, "image")} kept, ${rejected.length.toLocaleString("en")} thrown out`;
    const lost = rejected.filter(([row]) => status[row] === "in_focus").length;
    byId("to-keep-count").textContent = `${kept.length.toLocaleString("en")} would be kept and ${rejected.length.toLocaleString("en")} thrown out${lost ? `, ${lost.toLocaleString("en")} of them in focus` : ""}`;
    byId("save-rejected-now").hidden = !rejected.length;
    const at = limits.level.toFixed(1);
    const against = [
      [rejected.filter(([row, reason]) => status[row] === "in_focus" && reason === "level"), "in focus", "thrown out", page.limit ? `${page.limit} or less` : "0", `above ${at}`],
      [kept.filter(([row]) => status[row] === "out_of_focus"), "out of focus", "kept", `${page.limit + 1} or more`, `${at} or less`],
    ].filter(([pairs]) => pairs.length);
    byId("against-verdict").replaceChildren(...against.map(([pairs, verdict_, fate, probable, mean_]) => element(
      "p",
      { class: "note" },
      element("strong", {}, `${count(pairs.length, "image")} ${verdict_} ${pairs.length === 1 ? "is" : "are"} ${fate}.`),
      ` The verdict goes by the most probable level, here ${probable}; the limit by the expected level, here ${mean_}. `,
      element("button", { type: "button", class: "keys", on: { click: () => openGallery(`${verdict_[0].toUpperCase()}${verdict_.slice(1)}, but ${fate}`, pairs.map(([row]) => row)) } }, pairs.length === 1 ? "See it" : "See them"),
    )));
    byId("kept-share").style.width = `${(100 * kept.length) / shown.length}%`;
    byId("reasons").textContent = rejected.length ? `Thrown out: ${Object.keys(REASONS).filter((one) => reasons[one]).map((one) => `${reasons[one].toLocaleString("en")} ${REASONS[one]}`).join(", ")}.` : "Nothing is thrown out.";
    // Those nearest to the limit say most about it.
    const distance = (row, reason) => (reason === "certainty" ? limits.certainty - certainty[row] : (expected[row] - limits.level) / page.levels);
    const near = (pairs) => pairs.filter(([row]) => judged(row)).map(([row, reason]) => [row, Math.abs(distance(row, reason)) + (reason === "mixed" ? 1 : 0)]).sort((one, other) => one[1] - other[1] || one[0] - other[0]).slice(0, 7).map(([row]) => row);
    for (const [id, pairs] of [["just-out", rejected], ["just-in", kept]]) {
      const rows = near(pairs);
      byId(id).replaceChildren(...(rows.length ? rows.map((row, number) => thumb(row, { mark: `${SIGNS[status[row]]} ${fixed(expected[row], 2)}`, open: () => openImage(row, rows, number) })) : [element("span", { class: "soft" }, "none")]));
    }
  }
  const LISTED = ["file", "series", "z", "c", "t", "plate", "well", "site", "channel", "level", "expected_level", "certainty", "status"];
  function saveList(name, pairs) {
    save(name, [...LISTED, "reason"], pairs.map(([row, reason]) => [...LISTED.map((one) => column(one)[row]), reason]));
  }
  function startThreshold() {
    let waiting = 0;
    const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(judge); };
    const pairs = [["level-limit", "level-number", page.limit + 0.5], ["certainty-limit", "certainty-number", 0]];
    for (const [slider, number, start] of pairs) {
      byId(slider).value = start;
      byId(number).value = start;
      byId(slider).addEventListener("input", () => { byId(number).value = byId(slider).value; soon(); });
      byId(number).addEventListener("input", () => { if (byId(number).value !== "") { byId(slider).value = byId(number).value; soon(); } });
      byId(number).addEventListener("change", () => { byId(number).value = byId(slider).value; });
    }
    for (const id of ["drop-mixed", "drop-empty"]) byId(id).addEventListener("change", soon);
    document.querySelector(".limits").addEventListener("submit", (event) => event.preventDefault());
    byId("save-kept").addEventListener("click", () => saveList("kept.csv", kept));
    for (const id of ["save-rejected", "save-rejected-now"]) byId(id).addEventListener("click", () => saveList("rejected.csv", rejected));
    judge();
  }

  // ---- the table as one sees it ----------------------------------------------------------------

  const LINE = 46;
  const LEAST_TO_MOST = ["in_focus", "no_content", "mixed", "out_of_focus", "unreadable"];
  const order = { name: "", down: false };
  let pool = shown;
  let found = [];
  let active = 0;
  const extras = ["plate", "well", "site", "channel", ...Object.keys(PLANE)].filter((name) => has(name) && (name !== "z" || stacks.length));
  const heads = [
    ["file", "File", "file"], ...extras.map((name) => [name, name[0].toUpperCase() + name.slice(1), "extra"]),
    ["status", "Verdict", "status"], ["level", "Level", "number second"], ["expected_level", "Expected", "number"], ["certainty", "Certainty", "number"], ["mean_certainty", "Mean patch certainty", "number second"],
  ];
  const sortable = { status: (row) => STATUSES.indexOf(status[row]), level: (row) => level[row], expected_level: (row) => expected[row], certainty: (row) => certainty[row], mean_certainty: (row) => meanCertainty[row] };
  const SEARCHED = ["file", "plate", "well", "site", "channel", "error", "message"];
  let haystack = null;
  function searchable() {
    if (!haystack) {
      const texts = SEARCHED.filter(has).map(column);
      haystack = files.map((_, row) => texts.map((own) => own[row]).join("\n").toLowerCase());
    }
    return haystack;
  }
  const inRange = (value, from, to) => (from === "" && to === "") || ((from === "" || value >= Number(from) - 1e-9) && (to === "" || value <= Number(to) + 1e-9));
  /** Whether a text has a word: with * or ? as a shell has it, a whole name or a whole word. */
  function finder(word) {
    if (!/[*?]/.test(word)) return (text) => text.includes(word);
    const literal = (part) => part.replace(/[.+^${}()|[\]\\/]/g, "\\$&").replace(/\?/g, "[^\\n]");
    const [start, ...rest] = word.split(/\*+/).map(literal);
    const end = rest.pop();
    // The first place is as good as a later one, so that no search begins anew: \1, \2 …
    const between = rest.map((part, number) => `(?=([^\\n]*?${part}))\\${number + 1}`).join("");
    const pattern_ = new RegExp(`(?:^|[\\s/\\\\])${start}${end === undefined ? "" : `${between}[^\\n]*${end}`}(?:$|\\s)`, "u");
    return (text) => pattern_.test(text);
  }
  function filter() {
    const text = byId("filter-text").value.trim().toLowerCase();
    const words = text ? text.split(/\s+/).map(finder) : [];
    const wanted = new Set(STATUSES.filter((one) => byId(`status-${one}`).checked));
    const [from, to, low, high] = ["level-from", "level-to", "certainty-from", "certainty-to"].map((id) => byId(id).value);
    const planes = byId("all-planes") && byId("all-planes").checked;
    pool = planes ? files.map((_, row) => row) : shown;
    const hay = words.length ? searchable() : null;
    // A level without content means nothing, so a range leaves such rows out.
    const levelOf = (row) => (judged(row) ? expected[row] : NaN);
    found = pool.filter((row) => wanted.has(status[row]) && inRange(levelOf(row), from, to) && inRange(certainty[row], low, high) && (!hay || words.every((within) => within(hay[row]))));
    if (order.name) {
      const sign = order.down ? -1 : 1;
      if (order.name in sortable) {
        const value = sortable[order.name];
        const missing = (number) => Number.isNaN(number);
        found.sort((one, other) => missing(value(one)) - missing(value(other)) || (missing(value(one)) ? 0 : sign * (value(one) - value(other))) || one - other);
      } else {
        const texts = column(order.name);
        const rank = new Map([...new Set(found.map((row) => texts[row]))].sort(natural).map((name, number) => [name, number]));
        found.sort((one, other) => sign * (rank.get(texts[one]) - rank.get(texts[other])) || one - other);
      }
    }
    active = 0;
    const unit = planes ? "plane" : "image";
    byId("shown-count").textContent = `${found.length.toLocaleString("en")} of ${count(pool.length, unit)}`;
    byId("see-pictures").disabled = !found.length;
    byId("grid").setAttribute("aria-rowcount", found.length + 1);
    byId("grid-scroll").scrollTop = 0;
    fillTable();
  }
  function line(row, number, room, narrow) {
    const image = source(row);
    const made = element("div", { class: "line", role: "row", tabindex: number === active ? 0 : -1, "aria-rowindex": number + 2, "data-number": number, "aria-label": `${named(row)}: ${verdict(row)}` });
    made.append(element("span", { role: "gridcell" }, image ? element("img", { class: "mini", src: image, alt: "", decoding: "async" }) : ""));
    for (const [name, , kind] of heads) {
      const cell = element("span", { role: "gridcell", class: kind });
      if (name === "file") {
        // Where a screen has no room for their columns, the planes of a file are told apart here.
        const where = narrow ? extras.filter((one) => one in PLANE && column(one)[row] !== "").map((one) => PLANE[one] + column(one)[row]).join(" ") : "";
        const own = Math.max(12, (error[row] && !paper ? room >> 1 : room) - where.length);
        cell.append(element("span", { class: "name" }, element("bdi", { class: files[row].length > own && "cut" }, ...breakable(short(plain(files[row]), own))), where ? element("span", { class: "where" }, ` ${where}`) : null));
        if (error[row]) cell.append(element("span", { class: "why" }, plain(error[row])));
      } else if (name === "status") cell.append(element("span", { "aria-hidden": "true" }, `${SIGNS[status[row]]} `), element("span", { class: "word" }, WORDS[status[row]]));
      else if (name === "level" && status[row] === "mixed") cell.textContent = SIGNS.mixed;
      else if (name in sortable) cell.textContent = status[row] === "unreadable" || (status[row] === "no_content" && name.includes("level")) ? "" : fixed(sortable[name](row), name === "level" ? 0 : 2).replace("–", "");
      else cell.textContent = plain(column(name)[row]);
      if (name === "file") cell.title = plain(error[row] ? `${files[row]}: ${error[row]}` : files[row]);
      made.append(cell);
    }
    made.style.top = `${number * LINE}px`;
    return made;
  }
  function fillTable() {
    const scroll = byId("grid-scroll");
    const body = byId("grid-body");
    const focused = body.contains(document.activeElement);
    let first = 0;
    let last = found.length;
    if (paper) last = Math.min(last, 100);
    else {
      first = Math.max(0, Math.floor(scroll.scrollTop / LINE) - 6);
      last = Math.min(last, Math.ceil((scroll.scrollTop + scroll.clientHeight) / LINE) + 6);
    }
    scroll.style.maxHeight = paper ? "none" : `${Math.max(3, pool.length) * LINE}px`;
    body.style.height = `${Math.max(1, found.length * LINE)}px`;
    // Paper has room for some: those that matter most, unless an order was asked for.
    const worst = (row) => LEAST_TO_MOST.indexOf(status[row]) * 100 + (judged(row) ? expected[row] : 0);
    const listed = paper && !order.name && found.length > last ? [...found].sort((one, other) => worst(other) - worst(one)) : found;
    // The end of a name tells files of a folder apart: what is too long for two lines loses its middle.
    const room = paper ? 72 : Math.max(18, Math.floor((2 * byId("grid-head").querySelector(".file").clientWidth) / 9));
    const narrow = !paper && extras.length > 0 && !byId("grid-head").querySelector(".extra").offsetWidth;
    const numbers = [];
    for (let number = first; number < last; number++) numbers.push(number);
    // The active row stays, so that Tab finds the table wherever it is scrolled to.
    if (!paper && active < found.length && (active < first || active >= last)) numbers.push(active);
    body.replaceChildren(...(found.length ? numbers.map((number) => line(listed[number], number, room, narrow)) : [element("p", { class: "nothing", role: "row" }, element("span", { role: "gridcell" }, "Nothing passes these filters."))]));
    if (paper && found.length > last) body.append(element("p", { class: "nothing" }, `${listed === found ? "" : "The worst first. "}… and ${count(found.length - last, "more row")}, in the CSV file.`));
    if (focused) focusLine();
  }
  function focusLine() {
    const made = byId("grid-body").querySelector(`[data-number="${active}"]`);
    if (made) made.focus({ preventScroll: true });
  }
  function goTo(number) {
    active = Math.max(0, Math.min(found.length - 1, number));
    const scroll = byId("grid-scroll");
    if (active * LINE < scroll.scrollTop) scroll.scrollTop = active * LINE;
    else if ((active + 1) * LINE > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = (active + 1) * LINE - scroll.clientHeight;
    fillTable();
    focusLine();
  }
  function startTable() {
    byId("grid").style.setProperty("--extra-print", extras.map(() => "minmax(0, 0.7fr)").join(" "));
    byId("grid").style.setProperty("--extra", extras.map((name) => ({ plate: "minmax(60px, 1fr)", channel: "minmax(60px, 1fr)", well: "56px" }[name] || "44px")).join(" "));
    const head = element("div", { class: "line", role: "row", "aria-rowindex": 1 }, element("span", { role: "columnheader" }, element("span", { class: "unseen" }, "Picture")));
    for (const [name, words, kind] of heads) {
      const arrow = element("span", { "aria-hidden": "true" });
      const cell = element("span", { role: "columnheader", class: kind, "aria-sort": "none" }, element("button", {
        type: "button",
        "aria-label": words,
        title: words,
        on: {
          click: () => {
            order.down = order.name === name ? !order.down : ["level", "expected_level"].includes(name);
            order.name = name;
            for (const other of head.querySelectorAll("[aria-sort]")) {
              other.setAttribute("aria-sort", "none");
              other.querySelector("button > span:last-child").textContent = "";
            }
            cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
            arrow.textContent = order.down ? " ▾" : " ▴";
            filter();
          },
        },
      }, element("span", { class: "word" }, words), arrow));
      head.append(cell);
    }
    byId("grid-head").append(head);
    for (const one of STATUSES) {
      byId("filter-status").append(element("label", {}, element("input", { type: "checkbox", id: `status-${one}`, checked: true }), `${SIGNS[one]} ${WORDS[one]}`));
    }
    const form = byId("filters");
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    const scroll = byId("grid-scroll");
    let waiting = 0;
    scroll.addEventListener("scroll", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(fillTable); });
    scroll.addEventListener("click", (event) => {
      const at = event.target.closest("[data-number]");
      if (!at) return;
      active = Number(at.dataset.number);
      for (const other of scroll.querySelectorAll(".line")) other.tabIndex = other === at ? 0 : -1;
      at.focus({ preventScroll: true });
      openImage(found[active], found, active);
    });
    scroll.addEventListener("keydown", (event) => {
      const pageful = Math.max(1, Math.floor(scroll.clientHeight / LINE) - 1);
      const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: pageful, PageUp: -pageful, Home: -Infinity, End: Infinity };
      if (event.key === "Enter" || event.key === " ") {
        if (found.length) openImage(found[active], found, active);
      } else if (event.key in moves) goTo(active + moves[event.key]);
      else return;
      event.preventDefault();
    });
    if ("ResizeObserver" in window) new ResizeObserver(() => { if (!paper) fillTable(); }).observe(scroll);
    byId("see-pictures").addEventListener("click", () => openGallery("Rows of the table", found));
    byId("save-table").addEventListener("click", () => {
      const names = page.columns.map((one) => one.name);
      const texts = names.map(column);
      save("results-filtered.csv", names, found.map((row) => texts.map((own) => own[row])));
    });
    for (const tile of document.querySelectorAll(".tile")) {
      tile.addEventListener("click", () => {
        form.reset();
        for (const one of STATUSES) byId(`status-${one}`).checked = one === tile.dataset.status;
        setTimeout(() => {
          for (const one of STATUSES) byId(`status-${one}`).checked = one === tile.dataset.status;
          filter();
        });
      });
    }
    filter();
  }

  // ---- on paper --------------------------------------------------------------------------------

  const PAPER_WIDE = 640;
  const PAPER_HALF = 305;
  window.addEventListener("beforeprint", () => {
    paper = true;
    for (const chart of charts) chart.draw(chart.plot.closest("#groups, .triple") ? PAPER_HALF : PAPER_WIDE);
    fillTable();
  });
  window.addEventListener("afterprint", () => {
    paper = false;
    redraw();
    fillTable();
  });

  startThreshold();
  new Chart(byId("plot-levels"), drawLevels);
  new Chart(byId("plot-certainty"), drawCertainty);
  fillPlates();
  fillGroups();
  // Copies of one moment, and pages of one file, have no order in time.
  const apart = (at) => new Set(shown.filter(judged).map(at).filter((one) => !Number.isNaN(one))).size;
  const judgedImages = shown.filter(judged).length;
  const brief = () => {
    const known = shown.filter(judged).map((row) => times[row]).filter((one) => !Number.isNaN(one));
    return known.reduce((one, other) => Math.max(one, other), -Infinity) - known.reduce((one, other) => Math.min(one, other), Infinity) < BRIEF;
  };
  if (byId("time-order").querySelector("[value=t]") && apart((row) => pointOf[row]) > judgedImages / 2) byId("time-order").value = "t";
  else if (apart((row) => times[row]) <= judgedImages / 2 || brief()) byId("time-order").value = "order";
  if (apart((row) => times[row]) < 2) byId("time-order").querySelector("[value=time]").remove();
  byId("time-order").closest("form").hidden = byId("time-order").length < 2;
  byId("time").hidden = judgedImages < 2;
  byId("levels").hidden = shown.every((row) => status[row] === "unreadable");
  const course = new Chart(byId("plot-time"), drawTime);
  byId("time-order").addEventListener("change", () => course.draw());
  fillStacks();
  fillMontage();
  startTable();
  for (const link of document.querySelectorAll("nav a")) link.parentElement.hidden = document.querySelector(link.getAttribute("href")).hidden;
  // The charts' library comes after this script: by then all else is at work.
  document.addEventListener("DOMContentLoaded", () => charts.forEach((chart) => chart.begin()));
  document.documentElement.dataset.ready = "yes";
})();
