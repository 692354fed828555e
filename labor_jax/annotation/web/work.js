// One task: its image, its pieces, what is answered, and the tinted layer that shows it.

import { put } from "./patterns.js";

export const REVIEW = "review/"; // what a task's id begins with in which a whole image is reviewed
const TINT = 150;
const AT_ONCE = 12; // pieces that are confirmed at once

export class Work {
  // `task` as the server tells it, `image` an ImageBitmap, `looks` of the classes.
  constructor(task, image, looks) {
    Object.assign(this, { task: task.task, kind: task.kind, image, looks, version: task.version });
    this.name = task.image;
    this.review = task.task.startsWith(REVIEW);
    [this.height, this.width] = task.size;
    this.pieces = task[task.kind];
    this.known = task.answers;
    this.skipped = new Set();
    this.guesses = task.guesses;  // of a model, by piece: a class to be confirmed, or null
    this.alone = new Set();       // pieces whose guess is not to be confirmed with others
    this.answers = this.pieces.map(() => []);
    // By pixel: piece + 1 where open, -(piece + 1) where answered, 0 where not asked.
    this.owner = new Int32Array(this.kind === "segments" ? this.width * this.height : 0);
    this.left = this.pieces.map(piece => this.kind === "points" ? 1 : 0);
    if (this.kind === "segments") {
      this.pieces.forEach((runs, piece) => {
        for (let i = 0; i < runs.length; i += 2) {
          this.owner.fill(piece + 1, runs[i], runs[i] + runs[i + 1]);
          this.left[piece] += runs[i + 1];
        }
      });
      this.layer = canvasOf(this.width, this.height);
      this.tint = new ImageData(this.width, this.height);
    }
    this.thumb = this.makeThumb();
    for (const answer of task.answers) this.set(answer);
    if (this.layer) this.layer.getContext("2d").putImageData(this.tint, 0, 0);
    this.drawThumb(0, 0, this.width, this.height);
  }

  makeThumb() {
    const scale = Math.min(1, 640 / this.width, 640 / this.height);
    const plain = canvasOf(Math.round(this.width * scale), Math.round(this.height * scale));
    plain.getContext("2d").drawImage(this.image, 0, 0, plain.width, plain.height);
    this.plain = plain;
    return canvasOf(plain.width, plain.height);
  }

  isOpen(piece) { return this.left[piece] > 0; }

  get done() { return this.left.reduce((count, pixels) => count + (pixels <= 0), 0); }

  // The guess at a piece that is to be confirmed or corrected, or null.
  guessAt(piece) { return piece === null || this.answers[piece].length ? null : this.guesses[piece]; }

  // The open pieces of the guess that most of them have, to be confirmed at once; [] of a single one.
  alike() {
    const groups = new Map();
    for (let piece = 0; piece < this.pieces.length; piece++) {
      const guess = this.guessAt(piece);
      if (guess === null || this.skipped.has(piece) || this.alone.has(piece)) continue;
      groups.set(guess, [...(groups.get(guess) ?? []), piece]);
    }
    const most = [...groups.values()].sort((a, b) => b.length - a.length)[0] ?? [];
    return most.length > 1 ? most.slice(0, AT_ONCE) : [];
  }

  // Records an answer {id, piece, class, runs?, annotator} without showing it.
  set(answer) {
    this.answers[answer.piece].push(answer);
    if (this.kind === "points") { this.left[answer.piece] = 0; return null; }
    return this.fill(answer.runs, -(answer.piece + 1), this.looks[answer.class]);
  }

  // Takes an answer back without showing it.
  unset(answer) {
    this.answers[answer.piece] = this.answers[answer.piece].filter(a => a.id !== answer.id);
    if (this.kind === "points") { this.left[answer.piece] = 1; return null; }
    return this.fill(answer.runs, answer.piece + 1, null);
  }

  // Gives pixels an owner and a tint; returns the box [x, y, width, height] that changed.
  fill(runs, owner, look) {
    const { width, tint } = this, piece = Math.abs(owner) - 1;
    let left = width, right = 0, top = this.height, bottom = 0;
    for (let i = 0; i < runs.length; i += 2) {
      const start = runs[i], length = runs[i + 1], y = Math.floor(start / width), x = start % width;
      this.owner.fill(owner, start, start + length);
      this.left[piece] += owner > 0 ? length : -length;
      for (let k = 0; k < length; k++) {
        if (look) put(tint.data, 4 * (start + k), x + k, y, look, TINT);
        else tint.data[4 * (start + k) + 3] = 0;
      }
      left = Math.min(left, x); right = Math.max(right, x + length);
      top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
    }
    return [left, top, right - left, bottom - top];
  }

  // Shows boxes that `set` or `unset` changed.
  show(boxes) {
    for (const box of boxes) {
      if (!box) continue;
      this.layer.getContext("2d").putImageData(this.tint, 0, 0, ...box);
      this.drawThumb(...box);
    }
  }

  drawThumb(x, y, width, height) {
    const context = this.thumb.getContext("2d"), scale = this.thumb.width / this.width;
    const left = Math.floor(x * scale), top = Math.floor(y * scale);
    const across = Math.ceil((x + width) * scale) - left, down = Math.ceil((y + height) * scale) - top;
    context.drawImage(this.plain, left, top, across, down, left, top, across, down);
    if (this.layer) {
      context.drawImage(this.layer, left / scale, top / scale, across / scale, down / scale,
        left, top, across, down);
    }
  }

  // The open pixels of a piece as runs.
  openRuns(piece) {
    return this.runsWhere(piece, at => this.owner[at] === piece + 1);
  }

  // The pixels of a piece that pass a test, as runs that end with their rows.
  runsWhere(piece, test) {
    const runs = this.pieces[piece], found = [];
    for (let i = 0; i < runs.length; i += 2) {
      let length = 0;
      for (let at = runs[i]; at <= runs[i] + runs[i + 1]; at++) {
        if (at < runs[i] + runs[i + 1] && test(at)) length += 1;
        else if (length) { found.push(at - length, length); length = 0; }
      }
    }
    return found;
  }

  // The box [x, y, width, height] of pieces.
  box(pieces) {
    let left = Infinity, top = Infinity, right = 0, bottom = 0;
    for (const piece of pieces) {
      const runs = this.kind === "points" ? [] : this.pieces[piece];
      for (let i = 0; i < runs.length; i += 2) {
        const y = Math.floor(runs[i] / this.width), x = runs[i] % this.width;
        left = Math.min(left, x); right = Math.max(right, x + runs[i + 1]);
        top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
      }
      if (this.kind === "points") {
        const [x, y] = this.pieces[piece];
        left = Math.min(left, x); right = Math.max(right, x + 1);
        top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
      }
    }
    return [left, top, right - left, bottom - top];
  }
}

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  return canvas;
}
