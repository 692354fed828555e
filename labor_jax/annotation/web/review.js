// All images side by side with what the model predicts, the least sure first; one is opened to fix it.

import { beside } from "./gallery.js";
import { canvasOf, REVIEW } from "./work.js";
import { put } from "./patterns.js";

const OPACITY = 0.5;
const $ = id => document.getElementById(id);

export class Review {
  // `talk` to ask with, the `looks` of the classes, `onOpen(task)` for the image that is chosen.
  constructor(talk, looks, onOpen) {
    Object.assign(this, { talk, looks, onOpen, sheets: [], at: 0 });
    this.seen = new IntersectionObserver(entries => {
      for (const entry of entries.filter(entry => entry.isIntersecting)) {
        this.seen.unobserve(entry.target);
        this.drawSheet(entry.target).catch(() => {});
      }
    }, { root: $("sheets"), rootMargin: "200px" });
  }

  get on() { return !$("review").hidden; }

  // Shows the grid; `task` is chosen, if it is there.
  async show(task) {
    $("review").hidden = false;
    $("sheets").focus({ preventScroll: true });
    const own = this.showing = {};
    for (const { item } of this.sheets) this.seen.observe(item);  // the model is newer now
    for (let anew = "?anew"; ; anew = "") {
      const told = await this.talk.get(`/api/review${anew}`, "json");
      if (this.showing !== own || !this.on) return;
      this.list(told, task ?? this.sheets[this.at]?.task);
      if (!told.more) return;
      task = null;
    }
  }

  hide() { $("review").hidden = true; this.seen.disconnect(); }

  // Makes an item for each image, the least sure first, and keeps `task` chosen.
  list({ images, more }, task) {
    images.sort((a, b) => (b.doubt ?? -1) - (a.doubt ?? -1));
    const before = new Map(this.sheets.map(sheet => [sheet.task, sheet.item]));
    this.sheets = images.map(image => {
      const own = REVIEW + image.name;
      return { task: own, item: this.sheet(before.get(own), own, image) };
    });
    $("sheets").replaceChildren(...this.sheets.map(sheet => sheet.item));
    const looked = images.filter(image => image.doubt !== null).length;
    $("review-told").textContent = `${images.length} image${images.length === 1 ? "" : "s"}, the least sure first`
      + (more ? ` · ${looked} looked at` : "");
    this.at = Math.max(0, this.sheets.findIndex(sheet => sheet.task === task));
    this.mark();
  }

  sheet(item, task, { name, doubt, fixed }) {
    if (!item) {
      item = document.createElement("li");
      item.setAttribute("role", "option");
      item.append(document.createElement("canvas"), document.createElement("span"));
      item.addEventListener("click", () => this.onOpen(task));
      this.seen.observe(item);
    }
    item.dataset.task = task;
    item.lastChild.textContent = [name, doubt === null ? "" : `${Math.round(100 * doubt)} % unsure`,
      fixed ? `${fixed} fixed` : ""].filter(Boolean).join(" · ");
    return item;
  }

  // Draws an image, small, with its prediction.
  async drawSheet(item) {
    const id = encodeURIComponent(item.dataset.task), canvas = item.firstChild;
    const image = await createImageBitmap(await this.talk.get(`/api/image?small&id=${id}`, "blob"));
    canvas.width = image.width; canvas.height = image.height;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const blob = await this.talk.get(`/api/prediction?small&id=${id}`, "blob");
    if (!blob.size) return;  // there is no model yet
    const predicted = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const layer = canvasOf(predicted.width, predicted.height);
    const brush = layer.getContext("2d", { willReadFrequently: true });
    brush.drawImage(predicted, 0, 0);
    const tint = brush.getImageData(0, 0, layer.width, layer.height);
    for (let at = 0; at < tint.data.length; at += 4) {
      const pixel = at / 4, look = this.looks[tint.data[at]];
      put(tint.data, at, pixel % layer.width, Math.floor(pixel / layer.width), look, 255);
    }
    brush.putImageData(tint, 0, 0);
    context.globalAlpha = OPACITY;
    context.drawImage(layer, 0, 0);
  }

  move(by) { this.at = beside(this.sheets.map(sheet => sheet.item), this.at, by); this.mark(); }

  mark() {
    this.sheets.forEach(({ item }, i) => {
      item.id = `sheet-${i}`;
      item.setAttribute("aria-selected", i === this.at);
    });
    const chosen = this.sheets[this.at]?.item;
    $("sheets").setAttribute("aria-activedescendant", chosen?.id ?? "");
    chosen?.scrollIntoView({ block: "nearest" });
  }

  open() { if (this.sheets.length) this.onOpen(this.sheets[this.at].task); }
}
