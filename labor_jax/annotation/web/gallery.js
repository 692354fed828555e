// Pieces of one guess side by side: what is wrong is corrected, and the rest confirmed at once.

import { View } from "./view.js";

const CLOSER = 1 / 3; // the zoom of a crop, as a share of that of one piece alone
const $ = id => document.getElementById(id);

// The number of the item beside another one in a grid; the same where there is none.
export function beside(items, at, [dx, dy]) {
  const across = items.filter(item => item.offsetTop === items[0].offsetTop).length;
  const next = at + dx + dy * across;
  return next >= 0 && next < items.length ? next : at;
}

export class Gallery {
  // `pieces` of a `work`, of which a model guesses a class by the name of `guess`.
  constructor(work, pieces, guess, zoom) {
    Object.assign(this, { work, guess, zoom, out: new Set(), at: 0 });
    $("crops").replaceChildren();
    $("gallery").hidden = false;
    this.crops = pieces.map((piece, i) => this.makeCrop(piece, i));
    $("crops").focus({ preventScroll: true });
    this.mark();
  }

  makeCrop(piece, i) {
    const item = document.createElement("li"), canvas = document.createElement("canvas");
    item.id = `crop-${i}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-label", `crop ${i + 1}: ${this.guess}?`);
    item.append(canvas);
    $("crops").append(item);
    item.addEventListener("click", () => {
      this.at = this.crops.findIndex(crop => crop.item === item);
      this.take();
    });
    return { item, piece, view: new View(canvas, null) };
  }

  // The piece that keys are about.
  get piece() { return this.crops[this.at].piece; }

  // Those that Enter confirms.
  get kept() { return this.crops.map(crop => crop.piece).filter(piece => !this.out.has(piece)); }

  // Takes the chosen piece out of what is confirmed, or back in.
  take() {
    if (!this.out.delete(this.piece)) this.out.add(this.piece);
    this.mark();
  }

  // Removes a piece that was answered; returns whether there is anything left to confirm.
  drop(piece) {
    this.crops.find(crop => crop.piece === piece).item.remove();
    this.crops = this.crops.filter(crop => crop.piece !== piece);
    this.out.delete(piece);
    this.at = Math.min(this.at, this.crops.length - 1);
    if (this.kept.length) this.mark();
    return this.kept.length > 0;
  }

  move(by) {
    this.at = beside(this.crops.map(crop => crop.item), this.at, by);
    this.mark();
  }

  mark() {
    this.crops.forEach(({ item, piece }, i) => {
      item.setAttribute("aria-selected", !this.out.has(piece));
      item.classList.toggle("here", i === this.at);
    });
    const { item } = this.crops[this.at];
    $("crops").setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
    $("gallery-ask").textContent = `Enter: all ${this.kept.length} are ${this.guess}`;
  }

  // Draws the crops as `options` have it, see View.draw.
  draw(options) {
    for (const { piece, view } of this.crops) {
      view.resize();
      view.lookAt(this.work, this.work.box([piece]), this.zoom * CLOSER);
      const at = this.work.kind === "points" ? this.work.pieces[piece] : null;
      view.draw(this.work, { ...options, current: piece, picked: [], brush: null, at, chosen: null });
    }
  }

  close() { $("gallery").hidden = true; $("crops").replaceChildren(); }
}
