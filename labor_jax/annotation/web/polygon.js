// A polygon that a person draws: its corners lie where four pixels meet, and it holds the pixels
// whose centres lie inside, as a polygon in a file of another program does.

const NEAR = 10; // screen pixels between a click and the first corner that close the polygon

export class Polygon {
  // Of an image of a size; the cursor begins at (x, y).
  constructor(width, height, x, y) {
    Object.assign(this, { width, height, corners: [] });
    this.inside = null;  // the pixels that it holds as runs, once it is closed
    this.moveTo(x, y);
  }

  // Moves the cursor to the nearest place for a corner.
  moveTo(x, y) {
    this.at = [Math.min(this.width, Math.max(0, Math.round(x))),
      Math.min(this.height, Math.max(0, Math.round(y)))];
  }

  // Sets a corner at the cursor, unless the last one is there.
  add() {
    const last = this.corners.at(-1);
    if (!last || last[0] !== this.at[0] || last[1] !== this.at[1]) this.corners.push(this.at);
  }

  // Whether a place is so near the first corner that a click there closes it, at a zoom.
  isAtFirst(x, y, zoom) {
    const [first] = this.corners;
    return this.corners.length > 2 && Math.hypot(x - first[0], y - first[1]) * zoom <= NEAR;
  }

  // Closes it, if it then holds pixels; returns whether it does.
  close() {
    const runs = this.corners.length > 2 ? this.runs() : [];
    if (runs.length) this.inside = runs;
    return runs.length > 0;
  }

  // Opens it again, or takes the last corner back; returns whether there was one.
  takeBack() {
    if (!this.inside) return this.corners.pop() !== undefined;
    this.inside = null;
    return true;
  }

  // The pixels inside as runs [start, length, ...] that end with their rows. Where it crosses
  // itself, a pixel is inside if an odd number of borders lies between it and the outside. A centre
  // on a border belongs to the shape on its right.
  runs() {
    const found = [], { corners, width } = this;
    const rows = corners.map(([, y]) => y);
    for (let row = Math.min(...rows); row < Math.max(...rows); row++) {
      const y = row + 0.5, crossed = [];
      corners.forEach(([ax, ay], i) => {
        const [bx, by] = corners[(i + 1) % corners.length];
        if ((ay < y) !== (by < y)) crossed.push(ax + (y - ay) * (bx - ax) / (by - ay));
      });
      crossed.sort((a, b) => a - b);
      for (let i = 0; i < crossed.length; i += 2) {
        const from = Math.ceil(crossed[i] - 0.5), to = Math.ceil(crossed[i + 1] - 0.5);
        if (to > from) found.push(row * width + from, to - from);
      }
    }
    return found;
  }
}
