// A colour and a pattern for each class: classes stay apart where colours cannot be told apart.

export const UNSURE = 255;

const PATTERNS = [
  () => false,
  (x, y) => (x + y) % 6 < 2,
  (x, y) => x % 6 < 2,
  (x, y) => x % 4 < 2 && y % 4 < 2,
  (x, y) => (x - y + 6000) % 6 < 2,
  (x, y) => y % 6 < 2,
  (x, y) => x % 6 < 1 || y % 6 < 1,
  (x, y) => (x + y) % 8 < 1 || (x - y + 8000) % 8 < 1,
  (x, y) => (x % 8 < 4) !== (y % 8 < 4),
  (x, y) => (x + 2 * y) % 10 < 2,
];
const GREY = { color: [150, 150, 150], pattern: (x, y) => (x + y) % 4 < 2 };

// The look of each class, and of "unsure".
export function looks(classes) {
  const found = classes.map((c, i) => look(c.color, PATTERNS[i % PATTERNS.length]));
  found[UNSURE] = look(GREY.color, GREY.pattern);
  return found;
}

function look(color, pattern) {
  const light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 110;
  return { color, mark: light ? [0, 0, 0] : [255, 255, 255], pattern };
}

// Writes one pixel of a look into RGBA data.
export function put(data, at, x, y, { color, mark, pattern }, alpha) {
  const [r, g, b] = pattern(x, y) ? mark : color;
  data[at] = r; data[at + 1] = g; data[at + 2] = b; data[at + 3] = alpha;
}

// A small canvas that shows a look in the legend.
export function swatch(look) {
  const canvas = document.createElement("canvas");
  canvas.width = 28; canvas.height = 20; canvas.className = "swatch";
  const context = canvas.getContext("2d"), image = context.createImageData(28, 20);
  for (let y = 0; y < 20; y++) {
    for (let x = 0; x < 28; x++) put(image.data, 4 * (28 * y + x), x, y, look, 255);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
