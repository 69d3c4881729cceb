// The image and its evidence: zoom, pan, window and level.

export class Viewer {
  constructor(find) {
    this.$ = find;
    this.evidenceOn = true;
    this.beside = true;
    this.inverted = false;
    this.hasEvidence = false;
    this.item = null;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.window = 256;
    this.level = 128;
    for (const id of ["plain-frame", "evidence-frame"]) this.listen(find(id));
    find("window").addEventListener("input", (event) => this.setLevels(Number(event.target.value), this.level));
    find("level").addEventListener("input", (event) => this.setLevels(this.window, Number(event.target.value)));
    find("zoom").addEventListener("input", (event) => this.zoomTo(Number(event.target.value)));
    find("reset").addEventListener("click", () => { this.setLevels(256, 128); this.fit(); });
    find("native").addEventListener("click", () => this.native());
    new ResizeObserver(() => this.draw()).observe(find("panes"));
    this.setLevels(256, 128);
  }

  // --- displayed pictures ---

  // Wait for the pictures of an image; the displayed ones remain, with zoom and levels.
  wait(item) {
    this.$("view").classList.remove("nothing");
    this.$("view-status").textContent = "";
    if (!item.pictures.marked) {
      this.hasEvidence = false;
      this.$("marked").hidden = true;
    }
    if (item !== this.item) {
      this.item = item;
      this.hasEvidence = false;
      this.$("plain-frame").classList.add("busy");
      for (const id of ["plain", "marked"]) this.$(id).hidden = true;
      this.$("size").textContent = "";
    }
    this.layout();
  }

  async plain(url, name) {
    const image = this.$("plain");
    if (image.src === url && !image.hidden) return;
    image.src = url;
    image.alt = `X-ray ${name}`;
    await image.decode();
    image.hidden = false;
    this.$("plain-frame").classList.remove("busy");
    this.$("size").textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
    this.$("panes").style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    this.setLevels(256, 128);
    this.fit();
  }

  async marked(url) {
    const image = this.$("marked");
    image.src = url;
    image.alt = "The same X-ray with the evidence drawn over it";
    await image.decode();
    image.hidden = false;
    this.hasEvidence = true;
    this.layout();
  }

  noEvidence(text) {
    this.hasEvidence = false;
    this.$("view-status").textContent = text;
    this.layout();
  }

  nothing(text) {
    this.item = null;
    this.$("plain-frame").classList.remove("busy");
    this.$("view").classList.add("nothing");
    this.noEvidence(text);
  }

  showEvidence(on) { this.evidenceOn = on; this.layout(); }
  sideBySide(on) { this.beside = on; this.layout(); }
  invert(on) { this.inverted = on; this.setLevels(this.window, this.level); }

  layout() {
    const marked = this.hasEvidence && this.evidenceOn;
    const both = marked && this.beside;
    this.$("evidence-pane").hidden = !marked;
    this.$("plain-pane").hidden = marked && !both;
    this.$("panes").classList.toggle("single", !both);
    for (const id of ["evidence", "beside"]) this.$(id).setAttribute("aria-disabled", String(!this.hasEvidence));
    this.draw();
  }

  // --- window and level ---

  setLevels(window, level) {
    this.window = Math.min(512, Math.max(2, window));
    this.level = Math.min(255, Math.max(0, level));
    const sign = this.inverted ? -1 : 1;
    const slope = (sign * 256) / this.window;
    const intercept = 0.5 - (slope * this.level) / 256;
    for (const channel of ["r", "g", "b"]) {
      this.$(`levels-${channel}`).setAttribute("slope", slope);
      this.$(`levels-${channel}`).setAttribute("intercept", intercept);
    }
    this.$("window").value = this.window;
    this.$("level").value = this.level;
    this.$("window-value").textContent = Math.round(this.window);
    this.$("level-value").textContent = Math.round(this.level);
  }

  levels(window, level) { this.setLevels(this.window + window, this.level + level); }

  // --- zoom and pan; the position is the share of the image in the middle of the frame ---

  fit() { this.scale = 1; this.x = this.y = 0.5; this.draw(); }

  native() {
    const { natural } = this.sizes();
    if (natural) this.zoomTo(1 / natural);
  }

  zoomBy(factor) { this.zoomTo(this.scale * factor); }
  zoomTo(scale) { this.scale = Math.min(16, Math.max(1, scale)); this.draw(); }

  sizes() {
    const frame = this.$("plain-pane").hidden ? this.$("evidence-frame") : this.$("plain-frame");
    const image = this.$("plain");
    if (!image.naturalWidth || !frame.clientWidth) return {};
    const natural = Math.min(frame.clientWidth / image.naturalWidth, frame.clientHeight / image.naturalHeight);
    return { frame, natural, width: image.naturalWidth, height: image.naturalHeight };
  }

  draw() {
    const { frame, natural, width, height } = this.sizes();
    if (!frame) return;
    const scale = natural * this.scale;
    const half = (size, whole) => Math.min(0.5, size / (2 * whole * scale));
    const bounded = (at, edge) => Math.min(1 - edge, Math.max(edge, at));
    this.x = bounded(this.x, half(frame.clientWidth, width));
    this.y = bounded(this.y, half(frame.clientHeight, height));
    const left = frame.clientWidth / 2 - this.x * width * scale;
    const top = frame.clientHeight / 2 - this.y * height * scale;
    for (const id of ["plain", "marked"]) {
      this.$(id).style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    }
    this.$("zoom").value = this.scale;
    this.$("zoom-value").textContent = this.scale === 1 ? "fit" : `${Math.round(scale * 100)}%`;
  }

  moveBy(x, y) {
    const { natural, width, height } = this.sizes();
    if (!natural) return;
    this.x -= x / (width * natural * this.scale);
    this.y -= y / (height * natural * this.scale);
    this.draw();
  }

  listen(frame) {
    const pointers = new Map();
    let span = 0;
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    }, { passive: false });
    frame.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      pointers.set(event.pointerId, event);
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (span) this.zoomBy(now / span);
        span = now;
        return;
      }
      const [x, y] = [event.clientX - before.clientX, event.clientY - before.clientY];
      if (event.shiftKey) this.levels(x, -y);
      else this.moveBy(x, y);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      frame.addEventListener(name, (event) => { pointers.delete(event.pointerId); span = 0; });
    }
    frame.addEventListener("dblclick", () => { this.setLevels(256, 128); this.fit(); });
    frame.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
      const by = steps[event.key];
      if (by) { event.preventDefault(); this.moveBy(...by); }
    });
  }
}
