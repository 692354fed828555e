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
    this.standing = [];           // the answers that stand, in the order of giving
    this.given = this.pieces.map(() => 0);  // how many of them each piece has
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
  guessAt(piece) { return piece === null || this.given[piece] ? null : this.guesses[piece]; }

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

  // Records an answer {id, piece, class, runs?, annotator} without showing it; returns the box
  // [x, y, width, height] that changed. In a review its pixels may be of several pieces, and answered.
  set(answer) {
    this.standing.push(answer);
    this.given[answer.piece] += 1;
    if (this.kind === "segments") return this.fill(answer.runs, this.looks[answer.class]);
    this.left[answer.piece] = 0;
    return null;
  }

  // Takes an answer back without showing it: what it covered stands again.
  unset(answer) {
    this.standing = this.standing.filter(a => a.id !== answer.id);
    this.given[answer.piece] -= 1;
    if (this.kind === "segments") {
      const box = this.fill(answer.runs, null);
      for (const { runs, class: label } of this.standing) {
        if (meet(box, boxOf(runs, this.width))) this.fill(runs, this.looks[label]);
      }
      return box;
    }
    this.left[answer.piece] = 1;
    return null;
  }

  // Gives pixels a look as answered ones, or null as open ones; returns their box.
  fill(runs, look) {
    const { width, owner, tint } = this;
    for (let i = 0; i < runs.length; i += 2) {
      const y = Math.floor(runs[i] / width);
      for (let at = runs[i]; at < runs[i] + runs[i + 1]; at++) {
        if ((owner[at] > 0) === (look !== null)) {
          this.left[this.pieceOf(at)] += look ? -1 : 1;
          owner[at] = -owner[at];
        }
        if (look) put(tint.data, 4 * at, at - y * width, y, look, TINT);
        else tint.data[4 * at + 3] = 0;
      }
    }
    return boxOf(runs, width);
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

  // The piece that a pixel belongs to.
  pieceOf(at) { return Math.abs(this.owner[at]) - 1; }

  // What is open among pixels, as parts {piece, runs} whose runs end with their rows.
  openWithin(runs) {
    const found = new Map();
    for (let i = 0; i < runs.length; i += 2) {
      for (let at = runs[i]; at < runs[i] + runs[i + 1]; at++) {
        if (this.owner[at] <= 0) continue;
        const piece = this.pieceOf(at), own = found.get(piece) ?? [];
        if (at > runs[i] && own.at(-2) + own.at(-1) === at) own[own.length - 1] += 1;
        else own.push(at, 1);
        found.set(piece, own);
      }
    }
    return [...found].map(([piece, own]) => ({ piece, runs: own }));
  }

  // The box [x, y, width, height] of pieces.
  box(pieces) {
    const pixels = piece => {
      const [x, y] = this.pieces[piece];
      return [y * this.width + x, 1];
    };
    return boxOf(pieces.flatMap(piece => this.kind === "points" ? pixels(piece) : this.pieces[piece]),
      this.width);
  }
}

// The box [x, y, width, height] of runs.
function boxOf(runs, wide) {
  let left = Infinity, top = Infinity, right = 0, bottom = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const y = Math.floor(runs[i] / wide), x = runs[i] % wide;
    left = Math.min(left, x); right = Math.max(right, x + runs[i + 1]);
    top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
  }
  return [left, top, right - left, bottom - top];
}

function meet([x, y, width, height], [left, top, across, down]) {
  return x < left + across && left < x + width && y < top + down && top < y + height;
}

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  return canvas;
}
