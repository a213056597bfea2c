// An image on a canvas, at any zoom, of tiles that are asked for as they come into view. Lengths on
// the canvas are in pixels of the screen: at full resolution each is a pixel of the image, or a
// whole multiple stands for one, so that nothing is made up between them.

const ZOOMS = [1, 2, 3, 4, 6, 8, 12, 16];

class Viewer {
  // `tile(level, row, column)` gives a Blob; `side` is that of a tile; `onZoom(text)` is told the zoom.
  constructor(canvas, side, onZoom) {
    this.canvas = canvas;
    this.side = side;
    this.onZoom = onZoom;
    this.tiles = new Map();
    this.height = 0;
    this.width = 0;
    this.pointers = new Map();
    new ResizeObserver(() => this.resized()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.pressed(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => this.toggle(this.at(event)));
  }

  // Show another image; done when all that is in view is drawn.
  async show(height, width, tile) {
    this.tiles = new Map();
    this.height = height;
    this.width = width;
    this.tile = tile;
    this.fit();
    this.draw();
    for (let settled = false; !settled; ) {
      const wanted = this.visible().map((one) => this.load(one));
      await Promise.all(wanted);
      settled = this.tile !== tile || this.visible().every((one) => this.tiles.get(one.key)?.picture);
    }
    this.draw();
  }

  clear() {
    this.tiles = new Map();
    this.height = 0;
    this.draw();
  }

  // Largest zoom at which all is seen: a whole multiple from full resolution on.
  fitting() {
    const free = Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
    return free >= 1 ? Math.min(Math.floor(free), 4) : free;
  }

  fit() {
    this.zoom = this.fitting();
    this.left = (this.canvas.width - this.width * this.zoom) / 2;
    this.top = (this.canvas.height - this.height * this.zoom) / 2;
    this.isFitted = true;
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.height && this.isFitted) this.fit();
    this.keepInside();
    this.draw();
  }

  steps() {
    const fitting = this.fitting();
    const between = [];
    for (let zoom = 0.5; zoom > fitting * 1.2; zoom /= 2) between.unshift(zoom);
    return [fitting, ...between, ...ZOOMS.filter((zoom) => zoom > fitting)];
  }

  // One step in or out, about a place on the canvas.
  step(direction, place) {
    if (!this.height) return;
    const steps = this.steps();
    const next = direction > 0 ? steps.find((zoom) => zoom > this.zoom * 1.001) : steps.reverse().find((zoom) => zoom < this.zoom * 0.999);
    if (next !== undefined) this.zoomTo(next, place);
  }

  // From the whole image to full resolution, and back.
  toggle(place) {
    if (!this.height) return;
    const fitting = this.fitting();
    this.zoomTo(this.isFitted ? (fitting < 1 ? 1 : fitting * 2) : fitting, place);
  }

  zoomTo(zoom, place) {
    const [x, y] = place || [this.canvas.width / 2, this.canvas.height / 2];
    this.left = x - ((x - this.left) * zoom) / this.zoom;
    this.top = y - ((y - this.top) * zoom) / this.zoom;
    this.zoom = zoom;
    this.isFitted = zoom === this.fitting();
    if (this.isFitted) this.fit();
    this.keepInside();
    this.draw();
  }

  pan(right, down) {
    this.left -= right;
    this.top -= down;
    this.keepInside();
    this.draw();
  }

  // No side of the image comes further in than the canvas's, or the image is in its middle.
  keepInside() {
    const bounded = (start, length, room) => (length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, start)));
    this.left = Math.round(bounded(this.left, this.width * this.zoom, this.canvas.width));
    this.top = Math.round(bounded(this.top, this.height * this.zoom, this.canvas.height));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  pressed(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before || !this.height) return;
    const now = this.at(event);
    if (this.pointers.size === 1) {
      this.pan(before[0] - now[0], before[1] - now[1]);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 1);
      const zoom = Math.min(Math.max((this.zoom * apart(now)) / apart(before), this.fitting()), ZOOMS.at(-1));
      this.zoomTo(zoom, [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    }
    this.pointers.set(event.pointerId, now);
  }

  wheeled(event) {
    event.preventDefault();
    this.turned = (this.turned || 0) + event.deltaY * (event.deltaMode === 1 ? 30 : 1);
    if (Math.abs(this.turned) < 60) return;
    this.step(-Math.sign(this.turned), this.at(event));
    this.turned = 0;
  }

  level() {
    const most = Math.max(0, Math.ceil(Math.log2(Math.max(this.height, this.width) / this.side)));
    return Math.min(most, Math.max(0, Math.floor(Math.log2(1 / this.zoom) + 1e-6)));
  }

  visible() {
    if (!this.height) return [];
    const level = this.level();
    const span = this.side * 2 ** level;
    const range = (start, length, room) => {
      const first = Math.max(0, Math.floor(-start / this.zoom / span));
      const last = Math.min(Math.ceil(length / span), Math.ceil((room - start) / this.zoom / span)) - 1;
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => first + k);
    };
    const columns = range(this.left, this.width, this.canvas.width);
    return range(this.top, this.height, this.canvas.height).flatMap((row) =>
      columns.map((column) => ({ key: `${level}/${row}/${column}`, level, row, column })),
    );
  }

  async load(one) {
    const { tiles, tile } = this;
    if (!tiles.has(one.key)) {
      const entry = { ...one, picture: null };
      entry.loading = tile(one.level, one.row, one.column)
        .then((blob) => createImageBitmap(blob))
        .then((picture) => { entry.picture = picture; })
        .catch(() => { tiles.delete(one.key); });
      tiles.set(one.key, entry);
    }
    await tiles.get(one.key)?.loading;
    if (this.tiles === tiles) this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.height) return;
    context.imageSmoothingEnabled = this.zoom < 1;
    context.imageSmoothingQuality = "high";
    // Coarse ones first: they stand until finer ones have come.
    const drawn = [...this.tiles.values()].filter((one) => one.picture).sort((a, b) => b.level - a.level);
    for (const one of drawn) {
      if (one.level < this.level()) continue;
      const span = this.side * 2 ** one.level;
      const [top, left] = [one.row * span, one.column * span];
      const bottom = Math.min(this.height, top + span);
      const right = Math.min(this.width, left + span);
      context.drawImage(
        one.picture,
        this.left + left * this.zoom,
        this.top + top * this.zoom,
        (right - left) * this.zoom,
        (bottom - top) * this.zoom,
      );
    }
    for (const one of this.visible()) if (!this.tiles.has(one.key)) this.load(one);
    this.onZoom(this.zoom, this.isFitted);
  }
}
