// Draws a task: the image at a zoom, what is asked, and the whole image beside it.

const HALO = "rgba(0, 0, 0, .8)", LINE = "#ffffff", PICKED = "#ffe14d", OPEN = "rgba(0, 229, 255, .75)";
const FINE = 400000; // visible pixels above which single outlines are not drawn

export class View {
  // `inset` shows the whole image; null: nothing does.
  constructor(canvas, inset) {
    this.canvas = canvas; this.inset = inset;
    this.context = canvas.getContext("2d", { alpha: false });
    this.zoom = 6; this.x = 0; this.y = 0; this.ratio = 1;
    this.resize();
    this.clear();
  }

  // Fits the canvas to the page; returns whether it changed.
  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (width === this.canvas.width && height === this.canvas.height) return false;
    this.canvas.width = width; this.canvas.height = height; this.ratio = ratio;
    return true;
  }

  clear() {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.fillStyle = getComputedStyle(document.body).getPropertyValue("--void");
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // The zoom (screen pixels to a pixel of the image) at which the whole image is seen.
  fit(work) {
    const { width, height } = this.canvas;
    return Math.min(width / work.width, height / work.height) / this.ratio;
  }

  // Looks at pixels [x, y, width, height], at a zoom of 4 to 8 as far as they can be seen whole.
  lookAt(work, [x, y, width, height], preferred) {
    this.x = x + width / 2; this.y = y + height / 2;
    const room = 0.5 / this.ratio;
    const whole = Math.min(room * this.canvas.width / width, room * this.canvas.height / height);
    this.zoom = Math.max(Math.min(preferred, whole), Math.min(this.fit(work), whole), 0.25);
    if (work.kind === "points") this.zoom = Math.max(preferred, this.fit(work));
    // At the image's border little of the view stays empty.
    const across = this.canvas.width / this.scale, down = this.canvas.height / this.scale;
    this.x = between(0.4 * across, this.x, work.width - 0.4 * across);
    this.y = between(0.4 * down, this.y, work.height - 0.4 * down);
  }

  // Moves the view no further than needed to see a place with some room around it.
  keepInSight(x, y) {
    const room = 0.9 / 2 / this.scale, across = room * this.canvas.width, down = room * this.canvas.height;
    this.x = Math.min(x + across, Math.max(x - across, this.x));
    this.y = Math.min(y + down, Math.max(y - down, this.y));
  }

  get scale() { return this.zoom * this.ratio; }

  // Page coordinates to the image's.
  toImage(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    return [
      this.x + (clientX - box.left - box.width / 2) / this.zoom,
      this.y + (clientY - box.top - box.height / 2) / this.zoom,
    ];
  }

  // The image's coordinates to those of the stage that holds the canvas.
  toStage(x, y) {
    const box = this.canvas.getBoundingClientRect();
    return [box.width / 2 + (x - this.x) * this.zoom, box.height / 2 + (y - this.y) * this.zoom];
  }

  // `at` is the point that is asked, or chosen by a person where `chosen`; `over` a layer of the
  // image's size that is drawn at an opacity.
  draw(work, { current, picked, hidden, brush, polygon, at, chosen, over, opacity }) {
    const { context, canvas, scale } = this;
    const left = canvas.width / 2 - this.x * scale, top = canvas.height / 2 - this.y * scale;
    this.clear();
    const x0 = Math.max(0, Math.floor(-left / scale)), y0 = Math.max(0, Math.floor(-top / scale));
    const x1 = Math.min(work.width, Math.ceil((canvas.width - left) / scale));
    const y1 = Math.min(work.height, Math.ceil((canvas.height - top) / scale));
    if (x1 <= x0 || y1 <= y0) return this.drawInset(work, current, over, opacity);
    context.imageSmoothingEnabled = this.zoom < 2;
    const place = [x0, y0, x1 - x0, y1 - y0,
      left + x0 * scale, top + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale];
    context.drawImage(work.image, ...place);
    if (over) {
      context.imageSmoothingEnabled = false;
      context.globalAlpha = opacity;
      context.drawImage(over, ...place);
      context.globalAlpha = 1;
    }
    if (!hidden && (current !== null || polygon)) {
      if (work.kind === "points") {
        this.ring(left + (at[0] + 0.5) * scale, top + (at[1] + 0.5) * scale, chosen ? PICKED : LINE);
      } else {
        context.imageSmoothingEnabled = false;
        context.drawImage(work.layer, ...place);
        context.setTransform(scale, 0, 0, scale, left, top);
        if ((x1 - x0) * (y1 - y0) <= FINE) {
          this.stroke(openEdges(work, x0, y0, x1, y1), [[OPEN, 1]]);
        }
        if (brush) this.shade([...brush.painted].flatMap(pixel => [pixel, 1]), work.width);
        const shown = new Set(current === null ? [] : [current, ...picked]);
        this.stroke(edges(work, shown), [[HALO, 5.5], [shown.size > 1 ? PICKED : LINE, 2.5]]);
        if (brush) this.cursor(brush);
        if (polygon) this.outline(polygon);
      }
    }
    this.drawInset(work, current, over, opacity);
  }

  // A ring around a pixel, which itself stays free.
  ring(x, y, line) {
    const { context, ratio } = this;
    const radius = Math.max(15 * ratio, 0.75 * this.scale + 9 * ratio);
    const half = this.scale / 2 + ratio;
    for (const [color, width] of [[HALO, 7.5], [line, 3.5]]) {
      context.strokeStyle = color; context.lineWidth = width * ratio; context.lineCap = "butt";
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * radius, y + dy * radius);
        context.lineTo(x + dx * (radius + 9 * ratio), y + dy * (radius + 9 * ratio));
      }
      context.stroke();
    }
    if (this.zoom >= 4) {
      context.strokeStyle = line; context.lineWidth = ratio;
      context.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  // Strokes a path, given in pixels of the image, with lines of some screen widths.
  stroke(path, lines) {
    for (const [color, width] of lines) {
      this.context.strokeStyle = color; this.context.lineWidth = width / this.zoom;
      this.context.lineCap = "square";
      this.context.stroke(path);
    }
  }

  // Marks runs [start, length, ...] of pixels.
  shade(runs, width) {
    this.context.fillStyle = "rgba(255, 225, 77, .55)";
    for (let i = 0; i < runs.length; i += 2) {
      this.context.fillRect(runs[i] % width, Math.floor(runs[i] / width), runs[i + 1], 1);
    }
  }

  cursor({ x, y, radius }) {
    const circle = new Path2D();
    circle.arc(x, y, radius, 0, 2 * Math.PI);
    this.stroke(circle, [[HALO, 3], [PICKED, 1.5]]);
  }

  // A closed polygon with the pixels inside; of an open one the corners, and a line to the cursor.
  outline({ corners, at, inside, width }) {
    const path = new Path2D(), marks = new Path2D(), half = 4 / this.zoom, arm = 11 / this.zoom;
    if (inside) this.shade(inside, width);
    for (const corner of inside ? corners : [...corners, at]) path.lineTo(...corner);
    if (inside) path.closePath();
    corners.forEach(([x, y], i) => {
      const size = i === 0 ? 1.6 * half : half;  // a click on the first one closes it
      marks.rect(x - size, y - size, 2 * size, 2 * size);
    });
    if (!inside) {
      for (const [dx, dy] of [[1, 0], [0, 1]]) {
        marks.moveTo(at[0] - dx * arm, at[1] - dy * arm);
        marks.lineTo(at[0] + dx * arm, at[1] + dy * arm);
      }
    }
    for (const shape of [path, marks]) this.stroke(shape, [[HALO, 5], [PICKED, 2]]);
  }

  drawInset(work, current, over, opacity) {
    const { inset } = this;
    if (!inset) return;
    const context = inset.getContext("2d", { alpha: false });
    const ratio = this.ratio, wide = Math.round(306 * ratio);
    const high = Math.round(Math.min(wide * work.height / work.width, 260 * ratio));
    if (inset.width !== wide || inset.height !== high) { inset.width = wide; inset.height = high; }
    const scale = Math.min(wide / work.width, high / work.height);
    const left = (wide - scale * work.width) / 2;
    this.insetScale = scale / ratio; this.insetLeft = left / ratio;
    context.fillStyle = "#000"; context.fillRect(0, 0, wide, high);
    context.imageSmoothingEnabled = scale < 2;
    context.drawImage(work.thumb, left, 0, scale * work.width, scale * work.height);
    if (over) {
      context.globalAlpha = opacity;
      context.drawImage(over, left, 0, scale * work.width, scale * work.height);
      context.globalAlpha = 1;
    }
    const across = this.canvas.width / this.scale, down = this.canvas.height / this.scale;
    const box = [left + (this.x - across / 2) * scale, (this.y - down / 2) * scale,
      across * scale, down * scale];
    const whole = across >= work.width && down >= work.height;
    for (const [color, width] of [[HALO, 4], [LINE, 2]]) {
      context.strokeStyle = color; context.lineWidth = width * ratio;
      if (!whole) context.strokeRect(...box);
      if (current === null) continue;
      const [x, y, w, h] = work.box([current]);
      context.beginPath();
      context.arc(left + (x + w / 2) * scale, (y + h / 2) * scale, 6 * ratio, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

// What lies in between; the middle where nothing does.
function between(low, value, high) {
  return low > high ? (low + high) / 2 : Math.min(high, Math.max(low, value));
}

// The lines between open pieces, and around them, within a box.
function openEdges(work, x0, y0, x1, y1) {
  const path = new Path2D(), { owner, width, height } = work;
  const open = (x, y) => x < 0 || y < 0 || x >= width || y >= height ? 0
    : Math.max(0, owner[y * width + x]);
  for (let y = y0; y <= y1; y++) {
    let from = -1;
    for (let x = x0; x <= x1; x++) { // runs of edge above row y
      const edge = x < x1 && open(x, y) !== open(x, y - 1);
      if (edge && from < 0) from = x;
      if (!edge && from >= 0) { path.moveTo(from, y); path.lineTo(x, y); from = -1; }
    }
  }
  for (let x = x0; x <= x1; x++) {
    let from = -1;
    for (let y = y0; y <= y1; y++) {
      const edge = y < y1 && open(x, y) !== open(x - 1, y);
      if (edge && from < 0) from = y;
      if (!edge && from >= 0) { path.moveTo(x, from); path.lineTo(x, y); from = -1; }
    }
  }
  return path;
}

// The outline of what is open of some pieces together.
function edges(work, pieces) {
  const path = new Path2D(), { owner, width, height } = work;
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height
    && pieces.has(owner[y * width + x] - 1);
  for (const piece of pieces) {
    const runs = work.pieces[piece];
    for (let i = 0; i < runs.length; i += 2) {
      const y = Math.floor(runs[i] / width), first = runs[i] % width;
      for (let x = first; x < first + runs[i + 1]; x++) {
        if (!inside(x, y)) continue;
        if (!inside(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
        if (!inside(x, y + 1)) { path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1); }
        if (!inside(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
        if (!inside(x + 1, y)) { path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1); }
      }
    }
  }
  return path;
}
